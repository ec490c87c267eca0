#include <iostream>
#include <memory>
#include <string>

#include "host/cli/model_verbs/model_verb.hpp"
#include "host/cli/model_verbs/open_model.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::cli {
namespace {

struct TokenizeOptions {
  std::string model, text;
  bool jsonl = false, bare = false;
};

// Each line of stdin, with its number in errors.
template <typename Body>
void for_each_line(Body&& body) {
  std::string line;
  for (std::size_t number = 1; std::getline(std::cin, line); ++number) {
    if (interrupted()) throw_interrupted();
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    try {
      body(line);
    } catch (const Error& error) {
      throw error.within(fmt::format("stdin, line {}", number));
    }
  }
  if (interrupted()) throw_interrupted();  // it also ends the wait for a line
}

int tokenize(Session& session, const TokenizeOptions& options) {
  const text::Tokenizer tokenizer = load_tokenizer(options.model);
  const auto special = options.bare ? text::SpecialTokens::kOmit : text::SpecialTokens::kAdd;
  if (!options.text.empty()) {
    const Json ids = tokenizer.encode(options.text, special);
    session.json() ? session.print_json("tokenize", {{"tokens", ids}}) : session.print(ids.dump());
    return 0;
  }
  for_each_line([&](const std::string& line) {
    const Json value = parse_json(line, "the line");
    if (!value.is_string())
      fail(ErrorKind::kType, "expected one JSON string a line, found {}", value.type_name());
    session.print(Json(tokenizer.encode(value.get_ref<const std::string&>(), special)).dump());
  });
  return 0;
}

int detokenize(Session& session, const TokenizeOptions& options) {
  const text::Tokenizer tokenizer = load_tokenizer(options.model);
  const auto special = options.bare ? text::SpecialTokens::kOmit : text::SpecialTokens::kAdd;
  for_each_line([&](const std::string& line) {
    std::vector<text::TokenId> ids;
    try {
      ids = parse_json(line, "the line").get<std::vector<text::TokenId>>();
    } catch (const Json::exception&) {
      fail(ErrorKind::kType, "expected one JSON array of token ids a line");
    }
    session.print(Json(tokenizer.decode(ids, special)).dump());
  });
  return 0;
}

}  // namespace

void add_tokenize(Verb root, Session& session) {
  auto options = std::make_shared<TokenizeOptions>();
  model_verb(root, "tokenize",
             "  quanthost tokenize models/smollm2 --text 'Hello'\n  quanthost tokenize "
             "models/smollm2 < strings.jsonl")
      .argument("model", options->model, "The model folder")
      .option("--text", options->text, "Tokenize this instead of stdin")
      .flag("--jsonl", options->jsonl, "Lines of JSON on stdin (the default)")
      .flag("--no-special", options->bare, "Without the special tokens that the tokenizer adds")
      .run([&session, options] { return tokenize(session, *options); });
}

void add_detokenize(Verb root, Session& session) {
  auto options = std::make_shared<TokenizeOptions>();
  model_verb(root, "detokenize", "  echo '[28120, 905]' | quanthost detokenize models/smollm2")
      .argument("model", options->model, "The model folder")
      .flag("--jsonl", options->jsonl, "Lines of JSON on stdin (the default)")
      .flag("--no-special", options->bare, "Leave special tokens out of the text")
      .run([&session, options] { return detokenize(session, *options); });
}

}  // namespace quanthost::cli

// Finding a tokenizer in a model's folder: tokenizer.json, or the older vocab.json + merges.txt and
// vocab.txt, which are turned into what tokenizer.json would hold.
#include <sstream>

#include "host/text/json_fields.hpp"
#include "host/text/text_file.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::text {
namespace {

namespace fs = std::filesystem;

Json read_config(const fs::path& folder) {
  const fs::path path = folder / "tokenizer_config.json";
  return fs::exists(path) ? parse_json(read_text_file(path), path.string()) : Json::object();
}

std::vector<std::string> read_lines(const fs::path& path) {
  std::vector<std::string> lines;
  std::istringstream text(read_text_file(path));
  for (std::string line; std::getline(text, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(std::move(line));
  }
  return lines;
}

// A special token is a string, or an object with its content.
std::string token_text(const Json& config, const char* name, const char* fallback) {
  const auto it = config.find(name);
  if (it == config.end() || it->is_null()) return fallback;
  if (it->is_string()) return it->get<std::string>();
  return Fields(*it, name).string("content");
}

Json special_tokens(const Json& config,
                    std::initializer_list<std::pair<const char*, const char*>> names_and_defaults,
                    const Json& vocab) {
  Json tokens = Json::array();
  for (const auto& [name, fallback] : names_and_defaults) {
    const std::string content = token_text(config, name, fallback);
    if (vocab.contains(content))
      tokens.push_back({{"content", content}, {"special", true}, {"normalized", false}});
  }
  return tokens;
}

// GPT-2 and OPT: byte-level BPE. OPT puts a token in front (add_bos_token).
Json read_gpt2_files(const fs::path& folder) {
  const fs::path vocab_path = folder / "vocab.json";
  const Json config = read_config(folder);
  Json vocab = parse_json(read_text_file(vocab_path), vocab_path.string());
  Json merges = Json::array();
  for (std::string& line : read_lines(folder / "merges.txt")) {
    if (!line.starts_with("#version") && !line.empty()) merges.push_back(std::move(line));
  }
  const bool prefix_space = config.value("add_prefix_space", false);
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", prefix_space},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  Json post_processor = byte_level;
  const std::string begin = token_text(config, "bos_token", "<|endoftext|>");
  if (config.value("add_bos_token", false)) {
    const Json special = {{"SpecialToken", {{"id", begin}, {"type_id", 0}}}};
    const Json first = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
    const Json second = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
    if (!vocab.contains(begin))
      fail(ErrorKind::kValue, "{}: bos_token {:?} is missing", vocab_path.string(), begin);
    post_processor = {{"type", "TemplateProcessing"},
                      {"single", {special, first}},
                      {"pair", {special, first, special, second}},
                      {"special_tokens",
                       {{begin, {{"id", begin}, {"ids", {vocab[begin]}}, {"tokens", {begin}}}}}}};
  }
  const Json added = special_tokens(config,
                                    {{"bos_token", "<|endoftext|>"},
                                     {"eos_token", "<|endoftext|>"},
                                     {"unk_token", "<|endoftext|>"},
                                     {"pad_token", "<|endoftext|>"}},
                                    vocab);
  return {{"added_tokens", added},
          {"pre_tokenizer", byte_level},
          {"post_processor", post_processor},
          {"decoder", byte_level},
          {"model", {{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", std::move(merges)}}}};
}

// BERT: WordPiece, one token a line.
Json read_bert_files(const fs::path& folder) {
  const Json config = read_config(folder);
  Json vocab = Json::object();
  std::size_t next_id = 0;
  for (const std::string& line : read_lines(folder / "vocab.txt")) vocab[line] = next_id++;
  const std::string unknown = token_text(config, "unk_token", "[UNK]");
  const std::string begin = token_text(config, "cls_token", "[CLS]");
  const std::string end = token_text(config, "sep_token", "[SEP]");
  for (const std::string& token : {unknown, begin, end}) {
    if (!vocab.contains(token)) {
      fail(ErrorKind::kValue, "{}: the token {:?} is missing", (folder / "vocab.txt").string(),
           token);
    }
  }
  const Json added = special_tokens(config,
                                    {{"pad_token", "[PAD]"},
                                     {"unk_token", "[UNK]"},
                                     {"cls_token", "[CLS]"},
                                     {"sep_token", "[SEP]"},
                                     {"mask_token", "[MASK]"}},
                                    vocab);
  return {
      {"added_tokens", added},
      {"normalizer",
       {{"type", "BertNormalizer"},
        {"lowercase", config.value("do_lower_case", true)},
        {"handle_chinese_chars", config.value("tokenize_chinese_chars", true)},
        {"strip_accents", config.contains("strip_accents") ? config["strip_accents"] : Json()}}},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"post_processor",
       {{"type", "BertProcessing"}, {"cls", {begin, vocab[begin]}}, {"sep", {end, vocab[end]}}}},
      {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
      {"model",
       {{"type", "WordPiece"},
        {"vocab", std::move(vocab)},
        {"unk_token", unknown},
        {"continuing_subword_prefix", "##"},
        {"max_input_chars_per_word", 100}}}};
}

}  // namespace

Tokenizer Tokenizer::load(const fs::path& model_folder) {
  const fs::path file = model_folder / "tokenizer.json";
  if (fs::exists(file)) return from_json(read_text_file(file), file.string());
  if (fs::exists(model_folder / "vocab.json") && fs::exists(model_folder / "merges.txt")) {
    return from_json(read_gpt2_files(model_folder).dump(), (model_folder / "vocab.json").string());
  }
  if (fs::exists(model_folder / "vocab.txt")) {
    return from_json(read_bert_files(model_folder).dump(), (model_folder / "vocab.txt").string());
  }
  throw Error(ErrorKind::kOs, fmt::format("{}: holds no tokenizer", model_folder.string()),
              "put tokenizer.json there (or vocab.json with merges.txt, or vocab.txt); a "
              "SentencePiece tokenizer.model "
              "is converted by transformers' save_pretrained");
}

}  // namespace quanthost::text

#include "host/model/generate_text.hpp"

#include "host/text/stop_strings.hpp"
#include "host/text/stream_decoder.hpp"

namespace quanthost::model {
namespace {

// The text of one row, from its tokens.
class RowText {
 public:
  RowText(const text::Tokenizer& tokenizer, const std::vector<std::string>& stops)
      : decoder_(tokenizer), stops_(stops) {}

  std::string push(std::int64_t token) {
    return stops_.push(decoder_.push(static_cast<text::TokenId>(token)));
  }
  std::string finish() {
    std::string rest = stops_.push(decoder_.finish());
    return rest + stops_.finish();
  }
  bool stopped() const { return stops_.reached(); }

 private:
  text::StreamDecoder decoder_;
  text::StopStrings stops_;
};

}  // namespace

TextGeneration generate_text(Model& model, const text::Tokenizer& tokenizer,
                             const std::vector<std::vector<std::int64_t>>& prompts,
                             const GenerationOptions& options, const TextCallback& on_text) {
  TextGeneration result;
  result.texts.resize(prompts.size());
  std::vector<RowText> rows(prompts.size(), RowText(tokenizer, options.stop_strings));
  const auto show = [&](std::size_t row, const std::string& text) {
    result.texts[row] += text;
    return !on_text || on_text(row, text);
  };
  GenerationOptions ids_only = options;
  ids_only.stop_strings.clear();
  result.generation = generate(model, prompts, ids_only, [&](std::size_t row, std::int64_t token) {
    const bool wanted = show(row, rows[row].push(token));
    return wanted && !rows[row].stopped();
  });
  for (std::size_t row = 0; row < rows.size(); ++row) show(row, rows[row].finish());
  return result;
}

}  // namespace quanthost::model

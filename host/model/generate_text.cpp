#include "host/model/generate_text.hpp"

#include <algorithm>

#include "host/text/generated_text.hpp"

namespace quanthost::model {
namespace {

// One row: its text so far, and whether the callback or a stop string ended it.
class TextRow {
 public:
  TextRow(const text::Tokenizer& tokenizer, const std::vector<std::string>& stops)
      : generated_(tokenizer, stops) {}

  bool take(std::size_t row, std::int64_t token, const TextCallback& on_text) {
    const bool wanted =
        show(row, generated_.push(static_cast<text::TokenId>(token)), token, on_text);
    if (!wanted) end_ = TextEnd::kCallback;
    if (wanted && generated_.stopped()) end_ = TextEnd::kStopString;
    return !end_;
  }
  void finish(std::size_t row, const std::vector<std::int64_t>& tokens,
              const std::vector<std::int64_t>& stop_ids, const TextCallback& on_text) {
    if (end_ == TextEnd::kCallback || tokens.empty()) return;
    show(row, generated_.finish(), tokens.back(), on_text);
    if (!end_ && std::ranges::find(stop_ids, tokens.back()) != stop_ids.end())
      end_ = TextEnd::kEndOfText;
  }
  const std::string& text() const { return text_; }
  TextEnd end() const { return end_.value_or(TextEnd::kLength); }

 private:
  bool show(std::size_t row, const std::string& piece, std::int64_t token,
            const TextCallback& on_text) {
    text_ += piece;
    return !on_text || on_text(row, piece, token);
  }

  text::GeneratedText generated_;
  std::string text_;
  std::optional<TextEnd> end_;
};

}  // namespace

TextGeneration generate_text(Model& model, const text::Tokenizer& tokenizer,
                             const std::vector<std::vector<std::int64_t>>& prompts,
                             const GenerationOptions& options, const TextCallback& on_text) {
  std::vector<TextRow> rows(prompts.size(), TextRow(tokenizer, options.stop_strings));
  GenerationOptions ids_only = options;
  ids_only.stop_strings.clear();
  TextGeneration result;
  result.generation = generate(model, prompts, ids_only, [&](std::size_t row, std::int64_t token) {
    return rows[row].take(row, token, on_text);
  });
  result.generation.tokens.resize(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    rows[row].finish(row, result.generation.tokens[row], options.stop_ids, on_text);
    result.texts.push_back(rows[row].text());
    result.ends.push_back(rows[row].end());
  }
  return result;
}

}  // namespace quanthost::model

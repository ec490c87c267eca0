#include "host/model/generate_text.hpp"

#include "host/text/generated_text.hpp"

namespace quanthost::model {

TextGeneration generate_text(Model& model, const text::Tokenizer& tokenizer,
                             const std::vector<std::vector<std::int64_t>>& prompts,
                             const GenerationOptions& options, const TextCallback& on_text) {
  TextGeneration result;
  result.texts.resize(prompts.size());
  std::vector<text::GeneratedText> rows(prompts.size(),
                                        text::GeneratedText(tokenizer, options.stop_strings));
  const auto show = [&](std::size_t row, const std::string& text) {
    result.texts[row] += text;
    return !on_text || on_text(row, text);
  };
  GenerationOptions ids_only = options;
  ids_only.stop_strings.clear();
  result.generation = generate(model, prompts, ids_only, [&](std::size_t row, std::int64_t token) {
    const bool wanted = show(row, rows[row].push(static_cast<text::TokenId>(token)));
    return wanted && !rows[row].stopped();
  });
  for (std::size_t row = 0; row < rows.size(); ++row) show(row, rows[row].finish());
  return result;
}

}  // namespace quanthost::model

// Generation with a tokenizer at hand: text in whole characters as it comes, and stop strings.
#pragma once

#include <string_view>

#include "host/model/generate.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::model {

// Sees each new token of each row on the calling thread, with the text that became certain by it:
// often none. What was held back comes at a row's end, with its last token; false is of no effect
// there, and ends the row elsewhere.
using TextCallback =
    std::function<bool(std::size_t row, std::string_view text, std::int64_t token)>;

enum class TextEnd { kEndOfText, kStopString, kLength, kCallback };

struct TextGeneration {
  std::vector<std::string> texts;  // one a row, up to the stop string
  std::vector<TextEnd> ends;       // why each row came to its end
  Generation generation;           // its tokens are those that were generated, the stop's included
};

// As generate(); options.stop_strings count too.
TextGeneration generate_text(Model& model, const text::Tokenizer& tokenizer,
                             const std::vector<std::vector<std::int64_t>>& prompts,
                             const GenerationOptions& options, const TextCallback& on_text = {});

}  // namespace quanthost::model

// Generation with a tokenizer at hand: text in whole characters as it comes, and stop strings.
#pragma once

#include <string_view>

#include "host/model/generate.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::model {

// Sees the text of each row as it comes, on the calling thread. False ends that row.
using TextCallback = std::function<bool(std::size_t row, std::string_view text)>;

struct TextGeneration {
  std::vector<std::string> texts;  // one a row, up to the stop string
  Generation generation;           // its tokens are those that were generated, the stop's included
};

// As generate(); options.stop_strings count too.
TextGeneration generate_text(Model& model, const text::Tokenizer& tokenizer,
                             const std::vector<std::vector<std::int64_t>>& prompts,
                             const GenerationOptions& options, const TextCallback& on_text = {});

}  // namespace quanthost::model

// Post-processors: put special tokens around and between encoded texts.
#pragma once

#include <memory>
#include <vector>

#include "host/text/json_fields.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::text {

using Encodings = std::vector<std::vector<TokenId>>;  // joined in order at the end

// Immutable, any thread.
class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  // Takes the ids of one text, or of a pair.
  virtual Encodings process(Encodings texts, SpecialTokens special) const = 0;
};

// Reads the "post_processor" of a tokenizer.json.
std::unique_ptr<PostProcessor> read_post_processor(const Fields& fields);

}  // namespace quanthost::text

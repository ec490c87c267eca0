// Pre-tokenizers: cut a normalized text into the pieces that the model encodes one by one.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "host/text/json_fields.hpp"

namespace quanthost::text {

struct Piece {
  std::string_view text;  // not empty; valid during the call only
  bool at_start;          // it begins where the whole text begins
};

using PieceSink = std::function<void(const Piece&)>;

// Immutable, any thread.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Calls the sink for every piece, in order.
  virtual void split(const Piece& piece, const PieceSink& sink) const = 0;
};

// Reads the "pre_tokenizer" of a tokenizer.json.
std::unique_ptr<PreTokenizer> read_pre_tokenizer(const Fields& fields);

}  // namespace quanthost::text

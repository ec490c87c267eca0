// Decoders: turn tokens back into text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "host/text/json_fields.hpp"

namespace quanthost::text {

// Immutable, any thread.
class Decoder {
 public:
  virtual ~Decoder() = default;
  // The texts that the tokens stand for; a step may join several into one. The next decoder goes on
  // from there.
  virtual std::vector<std::string> decode(std::vector<std::string> tokens) const = 0;
};

// Reads the "decoder" of a tokenizer.json.
std::unique_ptr<Decoder> read_decoder(const Fields& fields);

}  // namespace quanthost::text

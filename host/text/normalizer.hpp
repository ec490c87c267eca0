// Normalizers: what happens to a text before it is cut into pieces.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "host/text/json_fields.hpp"

namespace quanthost::text {

// Immutable, any thread.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // Changes the text in place; valid UTF-8 stays valid.
  virtual void normalize(std::string& text) const = 0;

  std::string normalized(std::string_view text) const {
    std::string copy(text);
    normalize(copy);
    return copy;
  }
};

// Reads the "normalizer" of a tokenizer.json.
std::unique_ptr<Normalizer> read_normalizer(const Fields& fields);

std::unique_ptr<Normalizer> read_bert_normalizer(const Fields& fields);
std::unique_ptr<Normalizer> read_precompiled_charsmap(const Fields& fields);

}  // namespace quanthost::text

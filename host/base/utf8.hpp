// Is this text valid UTF-8? Stored files and texts are asked before anything else looks at them.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace quanthost {

struct Utf8Sequence {
  std::size_t length;  // bytes to move on: of the character, or of the maximal ill-formed part
  bool valid;          // overlong forms, surrogates and values above U+10FFFF are invalid
};

// The sequence that begins at text[at], which must exist.
Utf8Sequence utf8_sequence_at(std::string_view text, std::size_t at);

// Offset of the first byte that is not part of a valid sequence, or nothing when all of the text is
// valid.
std::optional<std::size_t> first_invalid_utf8(std::string_view text);

}  // namespace quanthost

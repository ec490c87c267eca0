// Is this text valid UTF-8? Stored files are asked before anything else looks at them.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace quanthost {

// Offset of the first byte that is not part of a valid sequence (overlong forms, surrogates and
// values above U+10FFFF are invalid), or nothing when all of the text is valid.
std::optional<std::size_t> first_invalid_utf8(std::string_view text);

}  // namespace quanthost

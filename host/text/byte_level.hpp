// GPT-2's byte alphabet: each of the 256 bytes has one printable character.
#pragma once

#include <string>
#include <string_view>

namespace quanthost::text {

void append_byte_characters(std::string& out, std::string_view bytes);

// The bytes that the characters of `text` stand for; false, with nothing appended, when one is not
// in the alphabet.
bool append_bytes_of(std::string& out, std::string_view text);

}  // namespace quanthost::text

// Unicode properties and normalization forms. The one door to utf8proc.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace quanthost::text {

// The classes are those of the original implementation (see unicode_classes.inc), not of one
// Unicode version.
bool is_whitespace(char32_t c);       // White_Space
bool is_numeric(char32_t c);          // Nd, Nl, No
bool is_punctuation(char32_t c);      // P*, and every ASCII punctuation mark
bool is_nonspacing_mark(char32_t c);  // Mn
bool is_mark(char32_t c);             // Mn, Mc, Me
bool is_control(char32_t c);          // Cc, Cf, Co: what BERT drops
bool is_word(char32_t c);             // letters, marks, numbers, connectors, joiners

// Characters that the original's older tables do not know stay as they are, and nothing moves
// across them.
enum class NormalizationForm { kNfc, kNfd, kNfkc, kNfkd };
std::string to_form(std::string_view text, NormalizationForm form);

void append_lowercase(std::string& text,
                      char32_t c);  // the full mapping: one character may become two

// The length in bytes of the first extended grapheme cluster. Text must not be empty.
std::size_t first_grapheme_length(std::string_view text);

}  // namespace quanthost::text

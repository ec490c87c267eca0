// Tokenizer files hold Oniguruma patterns (Ruby syntax); this turns them into PCRE2 patterns of the
// same meaning.
#pragma once

#include <string>
#include <string_view>

namespace quanthost::text {

// What differs and is rewritten: \s \S \w \W \h \H \b \B (their Unicode definitions differ),
// `{n,m}+` (a repeat of a repeat there, possessive here) and `(?m:` (there: the dot matches
// newlines). What cannot be rewritten faithfully (set intersections and nested sets) throws
// NotImplementedError naming the construct.
std::string pcre2_pattern(std::string_view oniguruma_pattern);

std::string escape_for_regex(std::string_view literal);

}  // namespace quanthost::text

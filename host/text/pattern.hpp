// The pattern of Replace and Split: {"String": "literal"} or {"Regex": "expression"}.
#pragma once

#include <string>

#include "host/text/json_fields.hpp"
#include "host/text/regex.hpp"
#include "host/text/regex_syntax.hpp"

namespace quanthost::text {

inline Regex read_pattern(const Fields& fields) {
  const Fields pattern = fields.object("pattern");
  try {
    if (pattern.has("String")) return Regex(escape_for_regex(pattern.string("String")));
    return Regex(pattern.string("Regex"));
  } catch (const Error& error) {
    throw error.within(pattern.where());
  }
}

}  // namespace quanthost::text

// Methods of strings and dicts: x.strip().
#pragma once

#include <string>

#include "host/text/jinja/value.hpp"

namespace quanthost::text::jinja {

// A method of a string or dict, bound to it; Undefined when there is none of that name.
Value method_of(const Value& value, const std::string& name);

}  // namespace quanthost::text::jinja

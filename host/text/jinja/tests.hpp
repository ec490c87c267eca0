// Tests: x is defined.
#pragma once

#include <string>

#include "host/text/jinja/value.hpp"

namespace quanthost::text::jinja {

// Unknown names throw NotImplementedError.
bool apply_test(const std::string& name, const Value& value, const Arguments& arguments);

}  // namespace quanthost::text::jinja

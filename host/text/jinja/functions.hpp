// Functions that every template can call: range(…), namespace(…).
#pragma once

#include <string>

#include "host/text/jinja/value.hpp"

namespace quanthost::text::jinja {

// raise_exception, namespace, range, dict, strftime_now; Undefined when there is none of that name.
Value global_function(const std::string& name);

}  // namespace quanthost::text::jinja

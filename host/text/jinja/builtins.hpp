// What templates may call: filters (x | trim), tests (x is defined), methods (x.strip()) and global
// functions.
#pragma once

#include <string>

#include "host/text/jinja/value.hpp"

namespace quanthost::text::jinja {

// Unknown names throw NotImplementedError.
Value apply_filter(const std::string& name, const Value& value, const Arguments& arguments);
bool apply_test(const std::string& name, const Value& value, const Arguments& arguments);

// A method of a string or dict, bound to it; Undefined when there is none of that name.
Value method_of(const Value& value, const std::string& name);

// raise_exception, namespace, range, dict, strftime_now; Undefined when there is none of that name.
Value global_function(const std::string& name);

bool contains(const Value& container, const Value& item);  // Python's `in`
int compare(const Value& left,
            const Value& right);  // numbers or strings; negative, zero or positive

}  // namespace quanthost::text::jinja

// What an expression's operators do with values that are known.
#pragma once

#include "host/text/jinja/syntax_tree.hpp"
#include "host/text/jinja/value.hpp"

namespace quanthost::text::jinja {

// owner[key]; Undefined when there is none of that key or index.
Value item(const Value& owner, const Value& key);

// owner[begin:end:step] by Python's rules; a bound that is None is missing.
Value slice(const Value& owner, const Value& begin, const Value& end, const Value& step);

Value negate(const Value& value);

// From kAdd to kPower. Strings and lists may be added; whole numbers that outgrow 64 bits throw.
Value arithmetic(Operation operation, const Value& left, const Value& right);

bool contains(const Value& container, const Value& item);  // Python's `in`

// Of two numbers or two strings; negative, zero or positive.
int compare(const Value& left, const Value& right);

}  // namespace quanthost::text::jinja

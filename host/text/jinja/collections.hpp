// Dicts and lists, as filters, methods and functions of templates share them.
#pragma once

#include <string>

#include "host/text/jinja/value.hpp"

namespace quanthost::text::jinja {

// The dict of a value; throws a TypeError for any other type.
const Dict& dict_of(const Value& value);

// A dict's item of that name; Undefined when there is none, or no dict.
Value attribute_of(const Value& value, const std::string& name);

// A list of [key, value], in the dict's order or sorted by key.
Value items(const Dict& dict);
Value sorted_items(const Dict& dict);

// The arguments are a separator and the attribute to take of each item (none: the item itself).
std::string join(const Value& value, const Arguments& arguments);

}  // namespace quanthost::text::jinja

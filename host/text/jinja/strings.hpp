// Python's string methods, as filters and methods of templates share them.
#pragma once

#include <functional>
#include <string>

#include "host/text/jinja/value.hpp"

namespace quanthost::text::jinja {

// The string of a value; throws a TypeError for any other type.
const std::string& text_of(const Value& value);

// Takes whitespace, or the characters given, from either end.
std::string strip(const std::string& text, const Value& characters, bool left, bool right);

// ASCII letters only; all others stay.
std::string upper(std::string text);
std::string lower(std::string text);
std::string capitalize(const std::string& text);
std::string title(const std::string& text);

std::string replace(const std::string& text, const std::string& from, const std::string& to);

// The arguments are a separator (none: any run of whitespace) and the largest number of cuts.
Value split(const std::string& text, const Arguments& arguments);

// True when the test passes for the string given, or for any of a list of them.
bool matches_any(const Value& options, const std::function<bool(const std::string&)>& test);

}  // namespace quanthost::text::jinja

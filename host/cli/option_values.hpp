// Numbers of options that came as text.
#pragma once

#include <cstdint>
#include <string>

namespace quanthost::cli {

// Both throw a usage error that names the option.
std::int64_t parse_integer(const std::string& option, const std::string& text, std::int64_t least);
double parse_number(const std::string& option, const std::string& text, double least);

}  // namespace quanthost::cli

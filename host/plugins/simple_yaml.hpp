// The part of YAML that manifests are usually written in, read in one pass. yaml-cpp takes about
// 0.1 us a byte, which is most of the time that reading a plugin's manifest costs.
#pragma once

#include <optional>
#include <string_view>

#include "host/base/json.hpp"

namespace quanthost {

// What parse_yaml() gives for the same text, or nothing: then the text holds something this reader
// leaves to the full parser. That is everything unusual, and everything wrong: it never refuses.
// It knows nested block mappings and sequences, collections in braces and brackets on one line,
// plain and quoted scalars of ASCII without escapes, comments on lines of their own.
std::optional<OrderedJson> parse_simple_yaml(std::string_view text, std::size_t max_depth);

}  // namespace quanthost

// Untrusted YAML as JSON values. yaml-cpp stays behind this door.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "host/base/json.hpp"

namespace quanthost {

struct YamlLimits {
  std::size_t bytes = 64 * 1024;
  std::size_t depth = 16;
  std::size_t nodes = 4096;
};

// One document. Plain scalars get the types of YAML 1.2's core schema, quoted ones stay strings.
// Refused with the line: aliases, anchors, tags, duplicate keys, keys that are no plain text, a
// second document, and anything beyond the limits. `where` names the source in errors.
OrderedJson parse_yaml(std::string_view text, std::string_view where,
                       const YamlLimits& limits = {});

// The same through yaml-cpp whatever the text is like: parse_yaml() reads simple texts by itself.
OrderedJson parse_full_yaml(std::string_view text, std::string_view where,
                            const YamlLimits& limits = {});

// The typed value of an unquoted scalar.
OrderedJson plain_scalar_value(const std::string& text);

}  // namespace quanthost

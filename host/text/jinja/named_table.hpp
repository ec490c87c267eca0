// Tables of what templates may call, by name.
#pragma once

#include <map>
#include <string>

#include "host/base/error.hpp"

namespace quanthost::text::jinja {

template <typename Entry>
using NamedTable = std::map<std::string, Entry>;

// Throws a NotImplementedError that lists what there is; `kind` is "filter" or "test".
template <typename Entry>
Entry find_supported(const NamedTable<Entry>& table, const std::string& name, const char* kind) {
  const auto found = table.find(name);
  if (found != table.end()) return found->second;
  std::string names;
  for (const auto& [known, entry] : table) names += names.empty() ? known : ", " + known;
  throw Error(ErrorKind::kNotImplemented, fmt::format("the {} \"{}\" is not supported", kind, name),
              "supported are " + names);
}

}  // namespace quanthost::text::jinja

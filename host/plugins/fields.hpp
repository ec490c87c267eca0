// Typed reading of one map of a manifest: every mismatch says where, what was found and what is
// needed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/base/json.hpp"

namespace quanthost {

class Fields {
 public:
  Fields(const OrderedJson& map,
         std::string_view where);  // throws kValue when it is no map; borrows the map

  bool has(const char* key) const { return find(key) != nullptr; }
  const OrderedJson* find(const char* key) const;  // null when absent or null
  std::string required_text(const char* key) const;
  std::string text(const char* key, std::string_view fallback = {}) const;
  bool flag(const char* key) const;
  std::int64_t integer(const char* key, std::int64_t fallback) const;
  const OrderedJson& list(const char* key) const;  // an empty list when absent
  std::vector<std::string> texts(const char* key) const;
  std::string at(std::string_view key) const;  // "provides.quantizers[0].method", for errors

 private:
  [[noreturn]] void wrong_type(const char* key, std::string_view needed) const;

  const OrderedJson& map_;
  std::string where_;
};

}  // namespace quanthost

// Strings, lists and sinks between the host's types and the ABI's.
#pragma once

#include <quanthost/abi.h>

#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/plugins/plugin_call.hpp"
#include "host/plugins/table_defaults.hpp"

namespace quanthost {

// Fills somebody's struct as far as it reaches.
template <typename T>
void write_sized(T& theirs, T mine) {
  mine.struct_size = std::min<std::uint32_t>(theirs.struct_size, sizeof(T));
  std::memcpy(&theirs, &mine, mine.struct_size);
}

// Borrow strings for one call.
class AbiStrings {
 public:
  explicit AbiStrings(const std::vector<std::string>& strings) {
    for (const std::string& s : strings) items_.push_back(to_abi(s));
  }
  qh_str_list list() const { return {items_.data(), items_.size()}; }

 private:
  std::vector<qh_str> items_;
};

class AbiPairs {
 public:
  explicit AbiPairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
    for (const auto& [key, value] : pairs) items_.push_back({to_abi(key), to_abi(value)});
  }
  qh_pair_list list() const { return {items_.data(), items_.size()}; }

 private:
  std::vector<qh_pair> items_;
};

inline std::vector<std::string> to_strings(qh_str_list list) {
  std::vector<std::string> out;
  for (std::uint64_t i = 0; i < list.count; ++i) out.emplace_back(from_abi(list.items[i]));
  return out;
}

// Sinks that collect what the other side emits; `out` must outlive the call.
inline qh_str_sink collect_strings(std::vector<std::string>& out) {
  return {&out, [](void* ctx, qh_str value) -> qh_status {
            return guard_call([&] {
              static_cast<std::vector<std::string>*>(ctx)->emplace_back(from_abi(value));
            });
          }};
}
inline qh_str_sink collect_text(std::string& out) {
  return {&out, [](void* ctx, qh_str value) -> qh_status {
            return guard_call([&] { static_cast<std::string*>(ctx)->assign(from_abi(value)); });
          }};
}
inline qh_pair_sink collect_pairs(std::vector<std::pair<std::string, std::string>>& out) {
  return {&out, [](void* ctx, qh_str key, qh_str value) -> qh_status {
            return guard_call([&] {
              static_cast<std::vector<std::pair<std::string, std::string>>*>(ctx)->emplace_back(
                  from_abi(key), from_abi(value));
            });
          }};
}

}  // namespace quanthost

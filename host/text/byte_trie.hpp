// A trie over bytes that carries one value a key: filled once, then only read.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "host/text/flat_map.hpp"

namespace quanthost::text {

class ByteTrie {
 public:
  static constexpr std::int32_t kNone = -1;

  void insert(std::string_view key, std::int32_t value) {
    std::uint32_t node = 0;
    for (const char byte : key) {
      std::uint32_t& child = children_[edge(node, byte)];
      if (child == 0) {
        child = static_cast<std::uint32_t>(values_.size());
        values_.push_back(kNone);
      }
      node = child;
    }
    values_[node] = value;
  }

  // Calls visit(length, value) for every key, of one byte or more, that text starts with; the
  // shortest first.
  template <typename Visit>
  void prefixes(std::string_view text, Visit&& visit) const {
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::uint32_t* child = children_.find(edge(node, text[i]));
      if (!child) return;
      node = *child;
      if (values_[node] != kNone) visit(i + 1, values_[node]);
    }
  }

 private:
  static std::uint64_t edge(std::uint32_t node, char byte) {
    return std::uint64_t{node} << 8 | static_cast<unsigned char>(byte);
  }

  FlatMap<std::uint32_t> children_;  // (node, byte) to node; the root is 0 and nobody's child
  std::vector<std::int32_t> values_ = {kNone};  // by node
};

}  // namespace quanthost::text

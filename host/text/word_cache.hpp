// Remembers the ids of short words: most of a text is a few thousand words.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "host/text/string_hash.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::text {

// Direct-mapped: a word that falls on a taken place replaces what is there. One thread at a time.
class WordCache {
 public:
  // Appends the ids of a word that is remembered.
  bool append(std::string_view word, std::vector<TokenId>& out) const {
    if (word.size() > kMaxBytes) return false;
    const Entry& entry = entries_[slot(word)];
    if (entry.bytes != word.size() || std::memcmp(entry.word.data(), word.data(), word.size()) != 0)
      return false;
    out.insert(out.end(), entry.ids.begin(), entry.ids.begin() + entry.count);
    return true;
  }

  void remember(std::string_view word, std::span<const TokenId> ids) {
    if (word.empty() || word.size() > kMaxBytes || ids.size() > kMaxIds) return;
    Entry& entry = entries_[slot(word)];
    entry.bytes = static_cast<std::uint8_t>(word.size());
    entry.count = static_cast<std::uint8_t>(ids.size());
    std::memcpy(entry.word.data(), word.data(), word.size());
    std::copy(ids.begin(), ids.end(), entry.ids.begin());
  }

 private:
  static constexpr std::size_t kSlots = 1 << 14;  // 1 MiB
  static constexpr std::size_t kMaxBytes = 30;
  static constexpr std::size_t kMaxIds = 8;

  struct Entry {         // one cache line
    std::uint8_t bytes;  // 0: free
    std::uint8_t count;
    std::array<char, kMaxBytes> word;
    std::array<TokenId, kMaxIds> ids;
  };
  static_assert(sizeof(Entry) == 64);

  static std::size_t slot(std::string_view word) { return string_hash(word) >> (64 - 14); }

  std::unique_ptr<Entry[]> entries_ = std::make_unique<Entry[]>(kSlots);
};

}  // namespace quanthost::text

// Walks over the bytes of a GGUF file's head: numbers, texts and typed values, never past the end.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "host/checkpoint/gguf_file.hpp"

namespace quanthost {

class GgufReader {
 public:
  explicit GgufReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t remaining() const { return bytes_.size() - position_; }

  template <typename Number>
  Number number() {
    Number value;
    std::memcpy(&value, take(sizeof value).data(),
                sizeof value);  // files and hosts are little-endian
    return value;
  }
  std::string text();
  GgufValue value();  // its type, then itself
  // Refuses a count that the rest of the file cannot hold.
  void expect_entries(std::uint64_t count, std::uint64_t min_bytes_each,
                      std::string_view what) const;

 private:
  std::span<const std::byte> take(std::uint64_t count);
  GgufValue scalar(std::uint32_t type);
  GgufValue array(int depth);
  template <typename Element, typename Wide>
  std::vector<Wide> elements(std::uint64_t count);

  std::span<const std::byte> bytes_;
  std::uint64_t position_ = 0;
};

}  // namespace quanthost

// Builds GGUF files as bytes for tests.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace quanthost::testing {

template <typename Number>
std::string raw(Number value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

inline std::string gguf_text(std::string_view text) {
  return raw<std::uint64_t>(text.size()) + std::string(text);
}

class GgufBytes {
 public:
  GgufBytes& u32(std::string_view key, std::uint32_t value) { return entry(key, 4, raw(value)); }
  GgufBytes& f32(std::string_view key, float value) { return entry(key, 6, raw(value)); }
  GgufBytes& boolean(std::string_view key, bool value) {
    return entry(key, 7, raw<std::uint8_t>(value));
  }
  GgufBytes& text(std::string_view key, std::string_view value) {
    return entry(key, 8, gguf_text(value));
  }
  GgufBytes& texts(std::string_view key, const std::vector<std::string>& values) {
    std::string bytes = raw<std::uint32_t>(8) + raw<std::uint64_t>(values.size());
    for (const auto& value : values) bytes += gguf_text(value);
    return entry(key, 9, bytes);
  }
  GgufBytes& i32s(std::string_view key, const std::vector<std::int32_t>& values) {
    std::string bytes = raw<std::uint32_t>(5) + raw<std::uint64_t>(values.size());
    for (const auto value : values) bytes += raw(value);
    return entry(key, 9, bytes);
  }
  // Any value: its type and bytes as given.
  GgufBytes& entry(std::string_view key, std::uint32_t type, std::string_view bytes) {
    ++entries_;
    metadata_ += gguf_text(key) + raw(type) + std::string(bytes);
    return *this;
  }

  GgufBytes& f32_tensor(std::string_view name, const std::vector<std::uint64_t>& dimensions,
                        const std::vector<float>& values) {
    std::string bytes;
    for (const float value : values) bytes += raw(value);
    return tensor(name, dimensions, 0, bytes);
  }
  GgufBytes& tensor(std::string_view name, const std::vector<std::uint64_t>& dimensions,
                    std::uint32_t type, std::string_view bytes) {
    data_.resize((data_.size() + 31) / 32 * 32);
    tensor_entry(name, dimensions, type, data_.size());
    data_ += bytes;
    return *this;
  }
  GgufBytes& tensor_entry(std::string_view name, const std::vector<std::uint64_t>& dimensions,
                          std::uint32_t type, std::uint64_t offset) {
    ++tensors_;
    table_ += gguf_text(name) + raw(static_cast<std::uint32_t>(dimensions.size()));
    for (const auto dimension : dimensions) table_ += raw(dimension);
    table_ += raw(type) + raw(offset);
    return *this;
  }

  std::string build(std::uint32_t version = 3) const {
    std::string bytes = "GGUF" + raw(version) + raw(tensors_) + raw(entries_) + metadata_ + table_;
    bytes.resize((bytes.size() + 31) / 32 * 32);
    return bytes + data_;
  }

 private:
  std::uint64_t tensors_ = 0, entries_ = 0;
  std::string metadata_, table_, data_;
};

}  // namespace quanthost::testing

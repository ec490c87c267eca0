// A GGUF file (versions 2 and 3, little-endian): its metadata and its table of tensors, every bound
// checked.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "host/base/file.hpp"
#include "host/checkpoint/ggml_type.hpp"

namespace quanthost {

// An array inside an array: nothing this project reads is stored so, and its elements are not kept.
struct GgufNestedArray {
  std::uint64_t count = 0;
};

// The twelve scalar types are widened to these; an array of booleans is one of unsigned numbers.
using GgufValue = std::variant<std::uint64_t, std::int64_t, double, bool, std::string,
                               std::vector<std::uint64_t>, std::vector<std::int64_t>,
                               std::vector<double>, std::vector<std::string>, GgufNestedArray>;

class GgufMetadata {
 public:
  // Throws Error(kValue) when the key is there already.
  void insert(std::string key, GgufValue value);
  const std::map<std::string, GgufValue, std::less<>>& entries() const { return entries_; }

  bool contains(std::string_view key) const { return entries_.contains(key); }
  // Nothing when the key is missing; Error(kType) that names the key when it holds something else.
  std::optional<std::uint64_t> unsigned_number(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  const std::string* text(std::string_view key) const;
  const std::vector<std::string>* texts(std::string_view key) const;
  std::optional<std::vector<std::int64_t>> signed_numbers(std::string_view key) const;
  const std::vector<double>* numbers(std::string_view key) const;
  // The same, where the key must be there: Error(kKey) when it is not.
  std::uint64_t required_unsigned(std::string_view key) const;
  const std::string& required_text(std::string_view key) const;

 private:
  const GgufValue* find(std::string_view key) const;

  std::map<std::string, GgufValue, std::less<>> entries_;
};

struct GgufTensor {
  std::string name;
  std::vector<std::uint64_t>
      dimensions;  // the fastest first: the reverse of safetensors' shape; 1 to 4 of them
  GgmlType type = GgmlType::kF32;
  std::uint64_t offset = 0;  // bytes from the start of the file
  std::uint64_t bytes = 0;

  std::uint64_t elements() const;
};

struct GgufContents {
  std::uint32_t version = 0;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;
};

// Throws Error(kValue) that says what is wrong and where. Tensors of types that cannot be
// dequantized here are an error too, as their size is not known.
GgufContents parse_gguf(std::span<const std::byte> file);

// Immutable after open(): any thread may read.
class GgufFile {
 public:
  static GgufFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const GgufMetadata& metadata() const { return contents_.metadata; }
  const std::vector<GgufTensor>& tensors() const { return contents_.tensors; }
  const GgufTensor* find(std::string_view name) const;
  std::span<const std::byte> view(const GgufTensor& tensor) const {
    return mapping_.bytes().subspan(tensor.offset, tensor.bytes);
  }
  void done_with(const GgufTensor& tensor) const { mapping_.done_with(view(tensor)); }

 private:
  GgufFile(std::filesystem::path path, MappedFile mapping, GgufContents contents)
      : path_(std::move(path)), mapping_(std::move(mapping)), contents_(std::move(contents)) {}

  std::filesystem::path path_;
  MappedFile mapping_;
  GgufContents contents_;
};

}  // namespace quanthost

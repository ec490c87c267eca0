// The hidden states between two blocks, a row of the calibration data each: in memory as far as a
// budget goes, the others in a file.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "host/base/file.hpp"

namespace quanthost {

// Which rows lie where is decided once; every row keeps its size. Different rows may be used by
// different threads at once.
class Activations {
 public:
  // Rows, in order, stay in memory until `budget` bytes are taken. The file has no name any more
  // once it is open, so that it is gone however the process ends; `folder` is made when needed.
  Activations(std::vector<std::uint64_t> row_bytes, std::uint64_t budget,
              const std::filesystem::path& folder);

  void put(std::size_t row, const at::Tensor& hidden);  // moved to the CPU when it is elsewhere
  at::Tensor get(std::size_t row) const;                // on the CPU

  std::uint64_t bytes_in_memory() const { return bytes_in_memory_; }
  std::uint64_t bytes_on_disk() const { return bytes_on_disk_; }

 private:
  struct Row {
    at::Tensor value;                     // in memory
    std::optional<std::uint64_t> offset;  // in the file; nothing: in memory
    std::vector<std::int64_t> shape;      // of what lies in the file
    at::ScalarType type = at::kFloat;
  };

  std::vector<Row> rows_;
  std::optional<File> file_;
  std::uint64_t bytes_in_memory_ = 0;
  std::uint64_t bytes_on_disk_ = 0;
};

}  // namespace quanthost

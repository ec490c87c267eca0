// Writes safetensors files tensor by tensor, with the bytes that Python's writer would give them.
#pragma once

#include <filesystem>

#include "host/base/file.hpp"
#include "host/checkpoint/safetensors_header.hpp"

namespace quanthost {

// All tensors are declared first; their data then comes in any order, whole or in parts, from the
// caller's buffers. write() may be called by several threads for different tensors. Write to a
// place that AtomicOutput gives: an unfinished file is not a safetensors file.
class SafetensorsWriter {
 public:
  // Lays the tensors out, takes the disk space and writes the header. Throws Error(kValue) for a
  // name that occurs twice, Error(kOs) when the disk is full.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorDeclaration> tensors,
                    const Metadata& metadata = {});

  const std::filesystem::path& path() const { return file_.path(); }
  const std::vector<TensorInfo>& tensors() const {
    return tensors_;
  }                                                     // in the order of their bytes
  const TensorInfo* find(std::string_view name) const;  // null when it was not declared

  // The whole tensor. Throws Error(kValue) when the sizes differ, Error(kKey) for a name that was
  // not declared.
  void write(std::string_view name, std::span<const std::byte> data);
  // A part of it, from byte `offset` of the tensor. Parts of one tensor must not overlap.
  void write_part(std::string_view name, std::uint64_t offset, std::span<const std::byte> data);
  // Makes sure that every byte was written and is on the disk. The writer cannot be used after it.
  void finish();

 private:
  std::size_t index_of(std::string_view name) const;

  File file_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string_view, std::size_t, std::less<>> by_name_;
  std::vector<std::uint64_t>
      bytes_missing_;  // of each tensor; different tensors, different elements: no lock needed
  std::uint64_t data_offset_ = 0;
};

}  // namespace quanthost

// A safetensors file opened for reading: a mapping for those who look, pread for those who stream.
#pragma once

#include <filesystem>
#include <map>

#include "host/base/file.hpp"
#include "host/checkpoint/safetensors_header.hpp"

namespace quanthost {

// Immutable after open(): any thread may read. Everything in the header has been checked against
// the file's size.
class SafetensorsFile {
 public:
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  std::uint64_t file_bytes() const { return file_.size(); }
  const std::vector<TensorInfo>& tensors() const {
    return header_.tensors;
  }  // in the order of their bytes
  const Metadata& metadata() const { return header_.metadata; }
  const TensorInfo* find(std::string_view name) const;  // null when there is none

  // The tensor's bytes in the mapping; valid as long as this object. The format promises no
  // alignment.
  std::span<const std::byte> view(const TensorInfo& tensor) const;
  // Reads out.size() bytes from `offset` within the tensor. Throws when that is not inside the
  // tensor.
  void read(const TensorInfo& tensor, std::span<std::byte> out, std::uint64_t offset = 0) const;

  void will_need(const TensorInfo& tensor) const { mapping_.will_need(view(tensor)); }
  void done_with(const TensorInfo& tensor) const { mapping_.done_with(view(tensor)); }

 private:
  SafetensorsFile(File file, MappedFile mapping, SafetensorsHeader header,
                  std::uint64_t data_offset);

  File file_;
  MappedFile mapping_;
  SafetensorsHeader header_;
  std::uint64_t data_offset_ = 0;  // bytes from the start of the file
  std::map<std::string, std::size_t, std::less<>> by_name_;
};

}  // namespace quanthost

#include "host/checkpoint/safetensors_writer.hpp"

#include "host/base/error.hpp"

namespace quanthost {

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     std::vector<TensorDeclaration> tensors,
                                     const Metadata& metadata)
    : file_(File::create(path)) {
  try {
    tensors_ = lay_out_tensors(std::move(tensors));
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      if (tensors_[i].name == kSafetensorsMetadataKey ||
          !by_name_.emplace(tensors_[i].name, i).second) {
        fail(ErrorKind::kValue, "tensor {}: the name is used twice or is reserved",
             tensors_[i].name);
      }
      bytes_missing_.push_back(tensors_[i].bytes());
    }
  } catch (const Error& e) {
    throw e.within(path.string());
  }
  const std::string header = format_safetensors_header(tensors_, metadata);
  data_offset_ = header.size();
  file_.reserve(data_offset_ + (tensors_.empty() ? 0 : tensors_.back().end));
  file_.write_at(0, std::as_bytes(std::span(header)));
}

const TensorInfo* SafetensorsWriter::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

std::size_t SafetensorsWriter::index_of(std::string_view name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    fail(ErrorKind::kKey, "{}: tensor {} was not declared before writing", path().string(), name);
  }
  return found->second;
}

void SafetensorsWriter::write(std::string_view name, std::span<const std::byte> data) {
  const TensorInfo& tensor = tensors_[index_of(name)];
  if (data.size() != tensor.bytes()) {
    fail(ErrorKind::kValue, "{}: tensor {} was declared with {} bytes, {} were given",
         path().string(), name, tensor.bytes(), data.size());
  }
  write_part(name, 0, data);
}

void SafetensorsWriter::write_part(std::string_view name, std::uint64_t offset,
                                   std::span<const std::byte> data) {
  const std::size_t index = index_of(name);
  const TensorInfo& tensor = tensors_[index];
  if (offset > tensor.bytes() || data.size() > tensor.bytes() - offset) {
    fail(ErrorKind::kValue, "{}: tensor {} has {} bytes, writing {} at {} would pass its end",
         path().string(), name, tensor.bytes(), data.size(), offset);
  }
  if (data.size() > bytes_missing_[index]) {
    fail(ErrorKind::kValue, "{}: tensor {} was written twice", path().string(), name);
  }
  file_.write_at(data_offset_ + tensor.begin + offset, data);
  bytes_missing_[index] -= data.size();
}

void SafetensorsWriter::finish() {
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    if (bytes_missing_[i] != 0) {
      fail(ErrorKind::kRuntime, "{}: tensor {}: {} of its {} bytes were never written",
           path().string(), tensors_[i].name, bytes_missing_[i], tensors_[i].bytes());
    }
  }
  file_.sync();
  file_.close();
}

}  // namespace quanthost

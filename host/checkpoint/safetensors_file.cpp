#include "host/checkpoint/safetensors_file.hpp"

#include <algorithm>
#include <array>

#include "host/base/error.hpp"

namespace quanthost {

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  File file = File::open_for_reading(path);
  try {
    std::array<std::byte, kSafetensorsPrefixBytes> prefix{};
    const auto prefix_bytes = std::min<std::uint64_t>(prefix.size(), file.size());
    const auto present = std::span(prefix).first(prefix_bytes);
    file.read_at(0, present);
    const std::uint64_t header_bytes = safetensors_header_bytes(present, file.size());
    std::string json(header_bytes, '\0');
    file.read_at(kSafetensorsPrefixBytes, std::as_writable_bytes(std::span(json)));
    const std::uint64_t data_offset = kSafetensorsPrefixBytes + header_bytes;
    auto header = parse_safetensors_header(json, file.size() - data_offset);
    MappedFile mapping(file);
    return SafetensorsFile(std::move(file), std::move(mapping), std::move(header), data_offset);
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kOs) throw;  // names the file already
    throw e.within(path.string());
  }
}

SafetensorsFile::SafetensorsFile(File file, MappedFile mapping, SafetensorsHeader header,
                                 std::uint64_t data_offset)
    : file_(std::move(file)),
      mapping_(std::move(mapping)),
      header_(std::move(header)),
      data_offset_(data_offset) {
  for (std::size_t i = 0; i < header_.tensors.size(); ++i) {
    by_name_.emplace(header_.tensors[i].name, i);
  }
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &header_.tensors[found->second];
}

std::span<const std::byte> SafetensorsFile::view(const TensorInfo& tensor) const {
  return mapping_.bytes().subspan(data_offset_ + tensor.begin, tensor.bytes());
}

void SafetensorsFile::read(const TensorInfo& tensor, std::span<std::byte> out,
                           std::uint64_t offset) const {
  if (offset > tensor.bytes() || out.size() > tensor.bytes() - offset) {
    fail(ErrorKind::kValue, "{}: tensor {}: bytes {} to {} were asked for, but it has {}",
         path().string(), tensor.name, offset, offset + out.size(), tensor.bytes());
  }
  file_.read_at(data_offset_ + tensor.begin + offset, out);
}

}  // namespace quanthost

#include "host/load/calibration/model_identity.hpp"

#include <algorithm>

#include "host/base/sha256.hpp"

namespace quanthost {
namespace {

constexpr std::uint64_t kSample = 4096;  // bytes

void append_samples(std::string& content, const StoredTensor& tensor) {
  const std::uint64_t size = std::min(kSample, tensor.bytes());
  const std::uint64_t last = tensor.bytes() - size;
  std::string bytes(size, '\0');
  for (const std::uint64_t offset : {std::uint64_t{0}, last / 2, last}) {
    tensor.read(std::as_writable_bytes(std::span(bytes)), offset);
    content += bytes;
  }
}

}  // namespace

std::string model_identity(const Checkpoint& checkpoint) {
  std::string content;
  for (const StoredTensor& tensor : checkpoint.tensors_by_name()) {
    content += Json{tensor.name(), safetensors_name(tensor.dtype()), tensor.shape()}.dump() + "\n";
    append_samples(content, tensor);
  }
  return sha256_hex(std::as_bytes(std::span(content)));
}

}  // namespace quanthost

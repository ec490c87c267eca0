// A whole safetensors file. What is accepted must lie inside the file and come back the same from
// the writer.
#include <algorithm>
#include <cstdlib>

#include "host/base/error.hpp"
#include "host/checkpoint/safetensors_header.hpp"

namespace {

using namespace quanthost;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_round_trip(const SafetensorsHeader& header, std::uint64_t data_bytes) {
  const std::string formatted = format_safetensors_header(header.tensors, header.metadata);
  const SafetensorsHeader again = parse_safetensors_header(
      std::string_view(formatted).substr(kSafetensorsPrefixBytes), data_bytes);
  require(again.metadata == header.metadata);
  require(again.tensors.size() == header.tensors.size());
  for (std::size_t i = 0; i < header.tensors.size(); ++i) {
    const TensorInfo& tensor = header.tensors[i];
    require(again.tensors[i].name == tensor.name && again.tensors[i].shape == tensor.shape);
    require(tensor.begin <= tensor.end && tensor.end <= data_bytes);
    require(tensor.bytes() == storage_bytes(tensor.dtype, tensor.shape));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto bytes = std::as_bytes(std::span(data, size));
    const std::uint64_t header_bytes =
        safetensors_header_bytes(bytes.first(std::min<std::size_t>(size, 8)), size);
    const std::string_view json(reinterpret_cast<const char*>(data) + kSafetensorsPrefixBytes,
                                header_bytes);
    const std::uint64_t data_bytes = size - kSafetensorsPrefixBytes - header_bytes;
    check_round_trip(parse_safetensors_header(json, data_bytes), data_bytes);
  } catch (const Error&) {  // refused with a reason
  }
  return 0;
}

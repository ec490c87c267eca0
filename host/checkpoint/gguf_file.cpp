#include "host/checkpoint/gguf_file.hpp"

#include <algorithm>
#include <limits>

#include "host/base/error.hpp"
#include "host/checkpoint/gguf_reader.hpp"

namespace quanthost {
namespace {

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kMaxDimensions = 4;
// The least that an entry takes: a key has a length, a type and one byte; a tensor a length,
// dimensions, type, offset.
constexpr std::uint64_t kMinMetadataBytes = 8 + 4 + 1;
constexpr std::uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;

std::uint32_t read_version(GgufReader& reader) {
  if (reader.remaining() < 8 || reader.number<std::uint32_t>() != kMagic) {
    throw Error(ErrorKind::kValue, "not a GGUF file: it does not begin with \"GGUF\"");
  }
  const auto version = reader.number<std::uint32_t>();
  if (version != 0 && (version & 0xFFFF) == 0) {
    throw Error(ErrorKind::kValue, "this GGUF file is big-endian, which is not read");
  }
  if (version != 2 && version != 3) {
    throw Error(ErrorKind::kValue,
                fmt::format("GGUF version {} is not read, only 2 and 3 are", version));
  }
  return version;
}

std::uint64_t alignment_of(const GgufMetadata& metadata) {
  const std::uint64_t alignment =
      metadata.unsigned_number("general.alignment").value_or(kDefaultAlignment);
  if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > 1 << 30) {
    fail(ErrorKind::kValue, "general.alignment is {}, which is not a power of two", alignment);
  }
  return alignment;
}

GgufTensor read_tensor(GgufReader& reader) {
  GgufTensor tensor;
  tensor.name = reader.text();
  const auto count = reader.number<std::uint32_t>();
  if (count == 0 || count > kMaxDimensions) {
    fail(ErrorKind::kValue, "tensor {}: it has {} dimensions, 1 to {} are allowed", tensor.name,
         count, kMaxDimensions);
  }
  for (std::uint32_t i = 0; i < count; ++i)
    tensor.dimensions.push_back(reader.number<std::uint64_t>());
  const auto type = reader.number<std::uint32_t>();
  const GgmlTypeInfo* info = find_ggml_type(type);
  if (info == nullptr) {
    throw Error(ErrorKind::kNotImplemented,
                fmt::format("tensor {}: its ggml type {} is not read", tensor.name, type),
                "types that are: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K");
  }
  tensor.type = info->type;
  tensor.offset = reader.number<std::uint64_t>();
  return tensor;
}

void compute_size(GgufTensor& tensor) {
  const GgmlTypeInfo& info = info_of(tensor.type);
  std::uint64_t elements = 1;
  for (const std::uint64_t dimension : tensor.dimensions) {
    if (__builtin_mul_overflow(elements, dimension, &elements) ||
        elements > std::numeric_limits<std::int64_t>::max() / info.block_bytes) {
      fail(ErrorKind::kValue, "tensor {}: the product of its dimensions overflows", tensor.name);
    }
  }
  if (elements == 0) fail(ErrorKind::kValue, "tensor {}: one of its dimensions is 0", tensor.name);
  if (tensor.dimensions[0] % info.block_elements != 0) {
    fail(ErrorKind::kValue,
         "tensor {}: rows of {} elements are not whole blocks of {}, as {} needs", tensor.name,
         tensor.dimensions[0], info.block_elements, info.name);
  }
  tensor.bytes = elements / info.block_elements * info.block_bytes;
}

// Turns the offset, which counts from the start of the data, into one from the start of the file.
void place(GgufTensor& tensor, std::uint64_t data_offset, std::uint64_t file_bytes,
           std::uint64_t alignment) {
  if (tensor.offset % alignment != 0) {
    fail(ErrorKind::kValue, "tensor {}: its offset {} is not a multiple of {}", tensor.name,
         tensor.offset, alignment);
  }
  const std::uint64_t data_bytes = file_bytes > data_offset ? file_bytes - data_offset : 0;
  if (tensor.bytes > data_bytes || tensor.offset > data_bytes - tensor.bytes) {
    fail(
        ErrorKind::kValue,
        "tensor {}: its bytes {} to {} lie past the end of the data, {} bytes: the file is cut off",
        tensor.name, tensor.offset, tensor.offset + tensor.bytes, data_bytes);
  }
  tensor.offset += data_offset;
}

}  // namespace

std::uint64_t GgufTensor::elements() const {
  std::uint64_t count = 1;
  for (const std::uint64_t dimension : dimensions) count *= dimension;
  return count;
}

GgufContents parse_gguf(std::span<const std::byte> file) {
  GgufReader reader(file);
  GgufContents contents;
  contents.version = read_version(reader);
  const auto tensor_count = reader.number<std::uint64_t>();
  const auto metadata_count = reader.number<std::uint64_t>();
  reader.expect_entries(metadata_count, kMinMetadataBytes, "metadata entries");
  for (std::uint64_t i = 0; i < metadata_count; ++i) {
    std::string key = reader.text();
    try {
      contents.metadata.insert(key, reader.value());
    } catch (const Error& e) {
      throw e.within(fmt::format("metadata {}", key));
    }
  }
  reader.expect_entries(tensor_count, kMinTensorBytes, "tensors");
  for (std::uint64_t i = 0; i < tensor_count; ++i) {
    contents.tensors.push_back(read_tensor(reader));
    compute_size(contents.tensors.back());
  }
  const std::uint64_t alignment = alignment_of(contents.metadata);
  const std::uint64_t data_offset = (reader.position() + alignment - 1) / alignment * alignment;
  std::map<std::string_view, bool> names;
  for (GgufTensor& tensor : contents.tensors) {
    place(tensor, data_offset, file.size(), alignment);
    if (!names.emplace(tensor.name, true).second) {
      fail(ErrorKind::kValue, "tensor {}: the name occurs twice", tensor.name);
    }
  }
  return contents;
}

GgufFile GgufFile::open(const std::filesystem::path& path) {
  const File file = File::open_for_reading(path);
  MappedFile mapping(file);
  try {
    GgufContents contents = parse_gguf(mapping.bytes());
    return GgufFile(path, std::move(mapping), std::move(contents));
  } catch (const Error& e) {
    throw e.within(path.string());
  }
}

const GgufTensor* GgufFile::find(std::string_view name) const {
  const auto& tensors = contents_.tensors;
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const GgufTensor& t) { return t.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

}  // namespace quanthost

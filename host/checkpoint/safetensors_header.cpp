#include "host/checkpoint/safetensors_header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "host/base/error.hpp"
#include "host/base/json.hpp"
#include "host/base/utf8.hpp"
#include "host/checkpoint/safetensors_json.hpp"

namespace quanthost {
namespace {

[[noreturn]] void fail_rule(std::string_view rule, std::string_view detail) {
  throw Error(ErrorKind::kValue, fmt::format("{}: {}", rule, detail),
              "the file is damaged or was not written as safetensors; download or save it again");
}

void check_text(std::string_view json) {
  if (const auto bad = first_invalid_utf8(json)) {
    fail_rule("invalid UTF-8 in header", fmt::format("at byte {} of the header", *bad));
  }
  const auto first = json.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || json[first] != '{') {
    fail_rule("invalid header start", "the header must be one JSON object");
  }
  // A NUL would end the text for the JSON parser, and hide what follows.
  if (json.find('\0') != std::string_view::npos) {
    fail_rule("invalid JSON in header", "it holds a NUL byte");
  }
}

void check_tensor(const TensorInfo& tensor, std::uint64_t expected_begin) {
  if (tensor.begin != expected_begin || tensor.end < tensor.begin) {
    fail_rule(
        fmt::format("invalid offset for tensor {}", tensor.name),
        fmt::format(
            "its data_offsets are [{}, {}], and the tensor before it ends at {}: there may be no "
            "hole and no overlap",
            tensor.begin, tensor.end, expected_begin));
  }
  std::uint64_t needed = 0;
  try {
    needed = storage_bytes(tensor.dtype, tensor.shape);
  } catch (const Error& e) {
    fail_rule(fmt::format("invalid shape of tensor {}", tensor.name), e.message());
  }
  if (tensor.bytes() != needed) {
    fail_rule(fmt::format("invalid shape, data type, or offset for tensor {}", tensor.name),
              fmt::format("{} [{}] needs {} bytes, but data_offsets [{}, {}] give it {}",
                          safetensors_name(tensor.dtype), fmt::join(tensor.shape, ","), needed,
                          tensor.begin, tensor.end, tensor.bytes()));
  }
}

std::uint64_t checked_product(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) {
    fail(ErrorKind::kValue, "the product of the dimensions overflows");
  }
  return product;
}

}  // namespace

std::uint64_t TensorInfo::elements() const {
  std::uint64_t count = 1;
  for (const std::int64_t dimension : shape) count *= static_cast<std::uint64_t>(dimension);
  return count;
}

std::uint64_t storage_bytes(Dtype dtype, const Shape& shape) {
  std::uint64_t elements = 1;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0) fail(ErrorKind::kValue, "a dimension is negative");
    elements = checked_product(elements, static_cast<std::uint64_t>(dimension));
  }
  const std::uint64_t bits = checked_product(elements, static_cast<std::uint64_t>(bits_of(dtype)));
  if (bits % 8 != 0) {
    fail(ErrorKind::kValue, "{} elements of {} bits do not fill whole bytes", elements,
         bits_of(dtype));
  }
  return bits / 8;
}

std::uint64_t safetensors_header_bytes(std::span<const std::byte> prefix,
                                       std::uint64_t file_bytes) {
  if (file_bytes < kSafetensorsPrefixBytes || prefix.size() < kSafetensorsPrefixBytes) {
    fail_rule("header too small",
              fmt::format("the file has {} bytes, at least 8 are needed", file_bytes));
  }
  std::uint64_t header_bytes = 0;
  for (int i = kSafetensorsPrefixBytes - 1; i >= 0; --i) {
    header_bytes =
        header_bytes << 8 | std::to_integer<std::uint64_t>(prefix[static_cast<std::size_t>(i)]);
  }
  if (header_bytes > kSafetensorsMaxHeaderBytes) {
    fail_rule("header too large", fmt::format("its length field says {}, at most {} are allowed",
                                              header_bytes, kSafetensorsMaxHeaderBytes));
  }
  if (header_bytes > file_bytes - kSafetensorsPrefixBytes) {
    fail_rule("invalid header length",
              fmt::format("its length field says {}, but only {} bytes follow: the file is cut off",
                          header_bytes, file_bytes - kSafetensorsPrefixBytes));
  }
  return header_bytes;
}

SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_bytes) {
  check_text(json);
  SafetensorsHeader header = parse_safetensors_json(json);
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) {
              return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
            });
  std::uint64_t end = 0;
  for (const TensorInfo& tensor : header.tensors) {
    check_tensor(tensor, end);
    end = tensor.end;
  }
  if (end != data_bytes) {
    fail_rule("incomplete metadata",
              fmt::format("the tensors end at byte {} of the data, the data at {}{}", end,
                          data_bytes, end > data_bytes ? ": the file is cut off" : ""));
  }
  return header;
}

std::vector<TensorInfo> lay_out_tensors(std::vector<TensorDeclaration> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorDeclaration& a, const TensorDeclaration& b) {
              return std::tie(b.dtype, a.name) < std::tie(a.dtype, b.name);
            });
  std::vector<TensorInfo> placed;
  placed.reserve(tensors.size());
  std::uint64_t end = 0;
  for (TensorDeclaration& tensor : tensors) {
    TensorInfo info{std::move(tensor), end, end};
    try {
      info.end += storage_bytes(info.dtype, info.shape);
    } catch (const Error& e) {
      throw e.within(fmt::format("tensor {}", info.name));
    }
    end = info.end;
    placed.push_back(std::move(info));
  }
  return placed;
}

std::string format_safetensors_header(const std::vector<TensorInfo>& tensors,
                                      const Metadata& metadata) {
  OrderedJson root = OrderedJson::object();
  if (!metadata.empty()) root[std::string(kSafetensorsMetadataKey)] = metadata;
  std::string json = metadata.empty() ? "{" : root.dump();
  if (!metadata.empty()) json.back() = ',';
  for (const TensorInfo& tensor : tensors) {
    json += Json(tensor.name).dump();
    json += fmt::format(R"(:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}},)",
                        safetensors_name(tensor.dtype), fmt::join(tensor.shape, ","), tensor.begin,
                        tensor.end);
  }
  if (json.back() == ',') {
    json.back() = '}';
  } else {
    json += '}';
  }
  json.resize((json.size() + 7) / 8 * 8, ' ');
  if (json.size() > kSafetensorsMaxHeaderBytes) {
    fail(ErrorKind::kValue, "header too large: {} tensors need {} bytes, at most {} are allowed",
         tensors.size(), json.size(), kSafetensorsMaxHeaderBytes);
  }
  std::string bytes(kSafetensorsPrefixBytes, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<char>(json.size() >> (8 * i) & 0xFF);
  return bytes + json;
}

}  // namespace quanthost

#include "host/checkpoint/gguf_reader.hpp"

#include <bit>

#include "host/base/error.hpp"
#include "host/base/utf8.hpp"

static_assert(std::endian::native == std::endian::little);

namespace quanthost {
namespace {

// The type codes of metadata values.
enum ValueType : std::uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

constexpr int kMaxArrayDepth = 4;

}  // namespace

std::span<const std::byte> GgufReader::take(std::uint64_t count) {
  if (count > remaining()) {
    fail(ErrorKind::kValue,
         "{} bytes are needed at byte {}, but only {} are left: the file is cut off or damaged",
         count, position_, remaining());
  }
  const auto taken = bytes_.subspan(position_, count);
  position_ += count;
  return taken;
}

void GgufReader::expect_entries(std::uint64_t count, std::uint64_t min_bytes_each,
                                std::string_view what) const {
  if (count > remaining() / min_bytes_each) {
    fail(ErrorKind::kValue, "{} {} cannot lie in the {} bytes after byte {}", count, what,
         remaining(), position_);
  }
}

std::string GgufReader::text() {
  const auto bytes = take(number<std::uint64_t>());
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (const auto bad = first_invalid_utf8(text)) {
    fail(ErrorKind::kValue, "the text before byte {} is not valid UTF-8", position_);
  }
  return text;
}

GgufValue GgufReader::value() {
  const auto type = number<std::uint32_t>();
  return type == kArray ? array(1) : scalar(type);
}

GgufValue GgufReader::scalar(std::uint32_t type) {
  switch (type) {
    case kUint8:
      return std::uint64_t{number<std::uint8_t>()};
    case kInt8:
      return std::int64_t{number<std::int8_t>()};
    case kUint16:
      return std::uint64_t{number<std::uint16_t>()};
    case kInt16:
      return std::int64_t{number<std::int16_t>()};
    case kUint32:
      return std::uint64_t{number<std::uint32_t>()};
    case kInt32:
      return std::int64_t{number<std::int32_t>()};
    case kFloat32:
      return static_cast<double>(number<float>());
    case kBool:
      return number<std::uint8_t>() != 0;
    case kString:
      return text();
    case kUint64:
      return number<std::uint64_t>();
    case kInt64:
      return number<std::int64_t>();
    case kFloat64:
      return number<double>();
  }
  fail(ErrorKind::kValue, "unknown value type {} before byte {}", type, position_);
}

template <typename Element, typename Wide>
std::vector<Wide> GgufReader::elements(std::uint64_t count) {
  expect_entries(count, sizeof(Element), "array elements");
  std::vector<Wide> values;
  values.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) values.push_back(static_cast<Wide>(number<Element>()));
  return values;
}

GgufValue GgufReader::array(int depth) {
  if (depth > kMaxArrayDepth) fail(ErrorKind::kValue, "arrays are nested too deeply");
  const auto type = number<std::uint32_t>();
  const auto count = number<std::uint64_t>();
  switch (type) {
    case kUint8:
    case kBool:
      return elements<std::uint8_t, std::uint64_t>(count);
    case kInt8:
      return elements<std::int8_t, std::int64_t>(count);
    case kUint16:
      return elements<std::uint16_t, std::uint64_t>(count);
    case kInt16:
      return elements<std::int16_t, std::int64_t>(count);
    case kUint32:
      return elements<std::uint32_t, std::uint64_t>(count);
    case kInt32:
      return elements<std::int32_t, std::int64_t>(count);
    case kFloat32:
      return elements<float, double>(count);
    case kUint64:
      return elements<std::uint64_t, std::uint64_t>(count);
    case kInt64:
      return elements<std::int64_t, std::int64_t>(count);
    case kFloat64:
      return elements<double, double>(count);
    default:
      break;
  }
  if (type == kString) {
    expect_entries(count, 8, "texts");
    std::vector<std::string> texts;
    texts.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) texts.push_back(text());
    return texts;
  }
  if (type != kArray)
    fail(ErrorKind::kValue, "unknown value type {} before byte {}", type, position_);
  expect_entries(count, 12, "arrays");
  for (std::uint64_t i = 0; i < count; ++i) array(depth + 1);
  return GgufNestedArray{count};
}

}  // namespace quanthost

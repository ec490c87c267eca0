#include "host/checkpoint/check_values.hpp"

#include <cstring>

namespace quanthost {
namespace {

// An IEEE-like format: all exponent bits set means infinity (no fraction) or NaN.
template <typename Bits>
void count_ieee(std::span<const std::byte> bytes, Bits exponent, Bits fraction,
                ValueCounts& counts) {
  for (std::size_t at = 0; at + sizeof(Bits) <= bytes.size(); at += sizeof(Bits)) {
    Bits value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    if ((value & exponent) != exponent) continue;
    ++((value & fraction) != 0 ? counts.nan : counts.infinite);
  }
}

// The 8-bit formats without infinity have one or two codes for NaN.
void count_codes(std::span<const std::byte> bytes, std::uint8_t first, std::uint8_t second,
                 ValueCounts& counts) {
  for (const std::byte byte : bytes) {
    const auto code = std::to_integer<std::uint8_t>(byte);
    counts.nan += code == first || code == second;
  }
}

}  // namespace

void count_values(Dtype dtype, std::span<const std::byte> bytes, ValueCounts& counts) {
  switch (dtype) {
    case Dtype::kF64:
      return count_ieee<std::uint64_t>(bytes, 0x7ffull << 52, (1ull << 52) - 1, counts);
    case Dtype::kC64:
    case Dtype::kF32:
      return count_ieee<std::uint32_t>(bytes, 0x7f800000, 0x007fffff, counts);
    case Dtype::kF16:
      return count_ieee<std::uint16_t>(bytes, 0x7c00, 0x03ff, counts);
    case Dtype::kBF16:
      return count_ieee<std::uint16_t>(bytes, 0x7f80, 0x007f, counts);
    case Dtype::kF8E5M2:
      return count_ieee<std::uint8_t>(bytes, 0x7c, 0x03, counts);
    case Dtype::kF8E4M3:
      return count_codes(bytes, 0x7f, 0xff, counts);
    case Dtype::kF8E8M0:
      return count_codes(bytes, 0xff, 0xff, counts);
    case Dtype::kF8E4M3Fnuz:
    case Dtype::kF8E5M2Fnuz:
      return count_codes(bytes, 0x80, 0x80, counts);
    case Dtype::kBool:
      for (const std::byte byte : bytes) counts.not_boolean += byte > std::byte{1};
      return;
    default:
      return;
  }
}

}  // namespace quanthost

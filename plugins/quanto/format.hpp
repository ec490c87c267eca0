// The formats of optimum-quanto 0.2.7: quantized types, the group-size rule, and the packed layout
// of 2 and 4 bits.
//
// A weight [out, in] quantized along axis 0 is a matrix of `rows` x `columns`: one row for each
// scale. With groups, row o * (in / group) + j holds columns [j * group, (j + 1) * group) of output
// o.
//
// 2 and 4 bits: v = 8 / bits values share a byte, and they come from rows that lie packed_rows =
// ceil(rows / v) apart:
//   packed[r][c] = Σ_i  value[i * packed_rows + r][c] << (bits * i),   missing rows count as 0.
// So when v divides `out`, the bytes of one packed row are v whole output rows side by side: row p,
// p + out / v, …
//
// Internal linkage throughout: these functions are compiled into files for different instruction
// sets.
#pragma once

#include <cstdint>

namespace quanthost::quanto {

enum class QType : std::int32_t {
  int2 = 1,
  int4 = 2,
  int8 = 3,
  float8_e4m3fn = 4,
  float8_e4m3fnuz = 5,
  float8_e5m2 = 6
};
enum class Dtype : std::int32_t { f32 = 1, f16 = 2, bf16 = 3 };

static constexpr int bit_width(QType q) { return q == QType::int2 ? 2 : q == QType::int4 ? 4 : 8; }
static constexpr bool is_affine(QType q) { return bit_width(q) < 8; }
static constexpr bool is_float8(QType q) { return bit_width(q) == 8 && q != QType::int8; }
static constexpr int values_per_byte(QType q) { return 8 / bit_width(q); }
static constexpr std::int64_t element_bytes(Dtype d) { return d == Dtype::f32 ? 4 : 2; }

// The divisor of the symmetric scale: the largest positive value of the type.
static constexpr float largest_value(QType q) {
  switch (q) {
    case QType::int2:
      return 1.0f;
    case QType::int4:
      return 7.0f;
    case QType::int8:
      return 127.0f;
    case QType::float8_e4m3fn:
      return 448.0f;
    case QType::float8_e4m3fnuz:
      return 240.0f;
    case QType::float8_e5m2:
      return 57344.0f;
  }
  return 0.0f;
}

static constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
static constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) {
  return ceil_div(a, b) * b;
}

// optimum-quanto's modules group weights of 2 and 4 bits when a row is longer than 128: by 128, 96,
// 64 or 32, whichever divides the row first. 0: the whole row.
static constexpr std::int64_t module_group_size(QType q, std::int64_t columns) {
  if (!is_affine(q) || columns <= 128) return 0;
  for (std::int64_t size = 128; size >= 32; size -= 32)
    if (columns % size == 0) return size;
  return 0;
}

}  // namespace quanthost::quanto

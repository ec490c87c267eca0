// Quantization and dequantization, bit for bit as optimum-quanto 0.2.7 does them on torch: every
// step is rounded to the weight's own type. Included by each instruction set's file.
#pragma once

#include <cstring>
#include <quanthost/cpu/simd.hpp>

#include "cpu/kernels.hpp"

namespace quanthost::quanto {
namespace {

using namespace quanthost::cpu;

template <typename Body>
inline void with_type(Dtype dtype, Body&& body) {
  switch (dtype) {
    case Dtype::f32:
      return body(float{});
    case Dtype::f16:
      return body(Float16{});
    case Dtype::bf16:
      return body(BFloat16{});
  }
}

inline const Float8Format& float8_format(QType q) {
  return q == QType::float8_e4m3fn ? kE4m3fn : q == QType::float8_e4m3fnuz ? kE4m3fnuz : kE5m2;
}

// Calls body(offset, count) for vectors of a row; count < kLanes for the last one only.
template <typename Body>
inline void for_each_vector(std::int64_t count, Body&& body) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, kLanes);
  if (i < count) body(i, static_cast<int>(count - i));
}
template <typename T>
inline Floats load_part(const T* p, int n) {
  return n == kLanes ? load(p) : load_n(p, n);
}
template <typename T>
inline void store_part(T* p, Floats v, int n) {
  if (n == kLanes)
    store(p, v);
  else
    store_n(p, v, n);
}
inline Ints load_u8_part(const std::uint8_t* p, int n) {
  return n == kLanes ? load_u8(p) : load_u8_n(p, n);
}
inline Ints load_i8_part(const std::uint8_t* p, int n) {
  const auto* s = reinterpret_cast<const std::int8_t*>(p);
  return n == kLanes ? load_i8(s) : load_i8_n(s, n);
}
inline void store_u8_part(std::uint8_t* p, Ints v, int n) {
  if (n == kLanes)
    store_u8(p, v);
  else
    store_u8_n(p, v, n);
}

template <typename T>
inline float round_scalar(float v) {
  return to_float(from_float<T>(v));
}

// As an integer, the bits of |x| order like |x|, with NaN above infinity: one maximum keeps NaN as
// torch's amax does.
template <typename T>
inline std::uint32_t row_absmax_bits(const T* row, std::int64_t columns) {
  Ints best = ints(0), best2 = ints(0);
  const Ints mask = ints(0x7fffffff);
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= columns; i += 2 * kLanes) {
    best = maximum(best, bits(load(row + i)) & mask);
    best2 = maximum(best2, bits(load(row + i + kLanes)) & mask);
  }
  best = maximum(best, best2);
  for_each_vector(columns - i, [&](std::int64_t j, int n) {
    best = maximum(best, bits(load_part(row + i + j, n)) & mask);
  });
  return static_cast<std::uint32_t>(largest(best));
}

template <typename T>
inline void row_range(const T* row, std::int64_t columns, float* low, float* high) {
  Floats lo = floats(to_float(row[0])), hi = lo;
  Ints nan_above = ints(0);
  const Ints mask = ints(0x7fffffff);
  std::int64_t i = 0;
  for (; i + kLanes <= columns; i += kLanes) {
    const Floats v = load(row + i);
    nan_above = maximum(nan_above, bits(v) & mask);
    lo = minimum(v, lo);
    hi = maximum(v, hi);
  }
  *low = least(lo);
  *high = largest(hi);
  std::uint32_t top = static_cast<std::uint32_t>(largest(nan_above));
  for (; i < columns; ++i) {
    const float v = to_float(row[i]);
    const std::uint32_t magnitude = bits_of(v) & 0x7fffffffu;
    top = magnitude > top ? magnitude : top;
    *low = v < *low ? v : *low;
    *high = v > *high ? v : *high;
  }
  if (top > 0x7f800000u) *low = *high = float_of(0x7fc00000u);
}

// data = clamp(RNE(RN(w / scale))); NaN (0 / 0 in a row of zeros) is stored as 0 by integers, as
// NaN by float8.
template <typename T>
inline void symmetric_row(const T* row, std::int64_t columns, float scale, QType qtype,
                          std::uint8_t* out) {
  const Floats s = floats(scale);
  if (qtype == QType::int8) {
    const Floats lo = floats(-128.0f), hi = floats(127.0f);
    for_each_vector(columns, [&](std::int64_t i, int n) {
      const Floats q = round_even(round_to<T>(load_part(row + i, n) / s));
      store_u8_part(out + i, to_ints(maximum(lo, minimum(hi, q))), n);
    });
    return;
  }
  const Float8Format& f = float8_format(qtype);
  const Floats lo = floats(-f.max), hi = floats(f.max);
  for_each_vector(columns, [&](std::int64_t i, int n) {
    const Floats q = round_to<T>(load_part(row + i, n) / s);
    store_u8_part(out + i, encode_float8(maximum(lo, minimum(hi, q)), f), n);
  });
}

struct AffineRow {
  float scale, shift;  // shift: a float to add, or a zero point
  bool integer_shift;
  int bits;
  int bit_offset;  // where in the byte; 0 overwrites it, more adds to it
};

template <typename T>
inline void affine_row(const T* row, std::int64_t columns, const AffineRow& r, std::uint8_t* out) {
  const Floats scale = floats(r.scale), shift = floats(r.shift);
  const Floats lo = floats(0.0f), hi = floats(static_cast<float>((1 << r.bits) - 1));
  const Ints value_mask = ints((1 << r.bits) - 1);  // NaN converts to INT_MIN, whose low bits are 0
  for_each_vector(columns, [&](std::int64_t i, int n) {
    const Floats w = load_part(row + i, n);
    const Floats q = r.integer_shift ? round_to<T>(round_even(round_to<T>(w / scale)) + shift)
                                     : round_even(round_to<T>(round_to<T>(w + shift) / scale));
    const Ints value = to_ints(maximum(lo, minimum(hi, q))) & value_mask;
    const Ints byte =
        r.bit_offset == 0 ? value : load_u8_part(out + i, n) | shift_left(value, r.bit_offset);
    store_u8_part(out + i, byte, n);
  });
}

// Scale and floating shift for values from `low` to `high`.
template <typename T>
struct AffineFit {
  AffineFit(float low, float high, QType qtype)
      : scale(from_float<T>(round_scalar<T>(high - low) / affine_steps(qtype))),
        shift(from_float<T>(-low)) {}
  static float affine_steps(QType qtype) { return static_cast<float>((1 << bit_width(qtype)) - 1); }
  T scale, shift;
};

template <typename T>
inline void fit_affine_row(const T* row, std::int64_t row_index, const Matrix& m) {
  float low, high;
  row_range(row, m.columns, &low, &high);
  const AffineFit<T> fit(low, high, m.qtype);
  static_cast<T*>(m.scale)[row_index] = fit.scale;
  if (!m.integer_shift) {
    static_cast<T*>(m.shift)[row_index] = fit.shift;
    return;
  }
  const float steps = AffineFit<T>::affine_steps(m.qtype);
  const float zero = __builtin_nearbyintf(round_scalar<T>(-low / to_float(fit.scale)));
  const float clamped = zero < 0.0f ? 0.0f : zero > steps ? steps : zero;
  static_cast<std::uint8_t*>(m.shift)[row_index] =
      clamped == clamped ? static_cast<std::uint8_t>(clamped) : 0;
}

template <typename T>
inline float shift_value(const Matrix& m, std::int64_t row) {
  return m.integer_shift ? static_cast<float>(static_cast<const std::uint8_t*>(m.shift)[row])
                         : to_float(static_cast<const T*>(m.shift)[row]);
}
template <typename T>
inline float scale_value(const Matrix& m, std::int64_t row) {
  return to_float(static_cast<const T*>(m.scale)[m.per_tensor ? 0 : row]);
}

template <typename T>
inline void quantize_symmetric(const QuantizeArgs& a, std::int64_t begin, std::int64_t end) {
  const Matrix& m = a.matrix;
  for (std::int64_t r = begin; r < end; ++r) {
    const T* row = static_cast<const T*>(a.base) + r * m.columns;
    if (!a.given_scale) {
      const float top = float_of(row_absmax_bits(row, m.columns));
      static_cast<T*>(m.scale)[r] = from_float<T>(top / largest_value(m.qtype));
    }
    symmetric_row(row, m.columns, scale_value<T>(m, r), m.qtype, m.data + r * m.columns);
  }
}

template <typename T>
inline void quantize_affine(const QuantizeArgs& a, std::int64_t begin, std::int64_t end) {
  const Matrix& m = a.matrix;
  const std::int64_t planes = m.packed_rows();
  for (std::int64_t r = begin; r < end; ++r) {
    std::uint8_t* out = m.data + r * m.columns;
    for (int i = 0; i < m.per_byte(); ++i) {
      const std::int64_t source = r + i * planes;
      if (source >= m.rows) break;
      const T* row = static_cast<const T*>(a.base) + source * m.columns;
      if (!a.given_scale) fit_affine_row(row, source, m);
      const int bits = bit_width(m.qtype);
      affine_row(row, m.columns,
                 AffineRow{scale_value<T>(m, source), shift_value<T>(m, source), m.integer_shift,
                           bits, bits * i},
                 out);
    }
  }
}

inline void quantize_rows(const QuantizeArgs& a, std::int64_t begin, std::int64_t end) {
  with_type(a.matrix.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (is_affine(a.matrix.qtype))
      quantize_affine<T>(a, begin, end);
    else
      quantize_symmetric<T>(a, begin, end);
  });
}

// RN(scale * value) for 8 bits; RN(RN(scale * value) - shift) below, or RN(scale * (value - zero
// point)).
template <typename T>
inline void dequantize_row(const Matrix& m, const std::uint8_t* bytes, std::int64_t row,
                           int bit_offset, T* out) {
  const Floats scale = floats(scale_value<T>(m, row));
  if (m.qtype == QType::int8) {
    for_each_vector(m.columns, [&](std::int64_t i, int n) {
      store_part(out + i, scale * to_floats(load_i8_part(bytes + i, n)), n);
    });
  } else if (is_float8(m.qtype)) {
    const Float8Format& f = float8_format(m.qtype);
    for_each_vector(m.columns, [&](std::int64_t i, int n) {
      store_part(out + i, scale * decode_float8(load_u8_part(bytes + i, n), f), n);
    });
  } else {
    const Floats shift = floats(shift_value<T>(m, row));
    const Ints mask = ints((1 << bit_width(m.qtype)) - 1);
    for_each_vector(m.columns, [&](std::int64_t i, int n) {
      const Floats value = to_floats(shift_right(load_u8_part(bytes + i, n), bit_offset) & mask);
      const Floats dense =
          m.integer_shift ? scale * (value - shift) : round_to<T>(scale * value) - shift;
      store_part(out + i, dense, n);
    });
  }
}

inline void dequantize_rows(const DequantizeArgs& a, std::int64_t begin, std::int64_t end) {
  with_type(a.matrix.dtype, [&](auto tag) {
    using T = decltype(tag);
    const Matrix& m = a.matrix;
    const std::int64_t planes = m.packed_rows();
    for (std::int64_t r = begin; r < end; ++r)
      for (int i = 0; i < m.per_byte(); ++i) {
        const std::int64_t row = r + i * planes;
        if (row >= m.rows) break;
        dequantize_row(m, m.data + r * m.columns, row, i * bit_width(m.qtype),
                       static_cast<T*>(a.out) + row * m.columns);
      }
  });
}

inline std::uint32_t absmax_range(const void* x, Dtype dtype, std::int64_t begin,
                                  std::int64_t end) {
  std::uint32_t best = 0;
  with_type(dtype, [&](auto tag) {
    best = row_absmax_bits(static_cast<const decltype(tag)*>(x) + begin, end - begin);
  });
  return best;
}

}  // namespace
}  // namespace quanthost::quanto

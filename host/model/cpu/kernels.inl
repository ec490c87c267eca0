// The kernels, written once. Each instruction set compiles this file in a namespace of its own,
// QH_ISA, and the compiler vectorizes the loops marked "omp simd". Nothing here may call an inline
// function of another header: its copy, compiled for a newer CPU, could be the one the linker
// keeps.
#include <cstdint>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "host/model/cpu/kernels.hpp"

namespace quanthost::model::cpu::QH_ISA {
namespace {

struct F32 {
  float value;
};
struct Bf16 {
  std::uint16_t bits;
};
struct F16 {
  std::uint16_t bits;
};

inline float as_float(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }
inline std::uint32_t as_bits(float value) { return __builtin_bit_cast(std::uint32_t, value); }

inline float to_float(F32 x) { return x.value; }
inline float to_float(Bf16 x) { return as_float(static_cast<std::uint32_t>(x.bits) << 16); }
// Shifts exponent and mantissa into place and corrects the bias by a product, which handles
// subnormals too.
inline float to_float(F16 x) {
  const std::uint32_t magnitude = static_cast<std::uint32_t>(x.bits & 0x7FFFu) << 13;
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16;
  const float scaled = as_float(magnitude) * as_float(0x77800000u);  // 2^112
  const std::uint32_t finite = as_bits(scaled);
  const std::uint32_t special = magnitude | 0x7F800000u;
  return as_float(sign | (magnitude >= 0x0F800000u ? special : finite));
}

template <class T>
T from_float(float x);
template <>
inline F32 from_float<F32>(float x) {
  return {x};
}
template <>
inline Bf16 from_float<Bf16>(float x) {  // to nearest, ties to even; a NaN stays one
  const std::uint32_t bits = as_bits(x);
  const std::uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  return {static_cast<std::uint16_t>(x != x ? 0x7FC0u : rounded)};
}
template <>
inline F16 from_float<F16>(float x) {
  const std::uint32_t bits = as_bits(x);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return {static_cast<std::uint16_t>(sign | 0x7E00u)};
  if (magnitude >= 0x477FF000u)
    return {static_cast<std::uint16_t>(sign | 0x7C00u)};  // rounds to infinity
  if (magnitude <
      0x38800000u) {  // subnormal: adding 0.5 leaves the rounded multiple of 2^-24 in the mantissa
    const std::uint32_t sum = as_bits(as_float(magnitude) + 0.5f);
    return {static_cast<std::uint16_t>(sign | (sum - 0x3F000000u))};
  }
  const std::uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return {static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13))};
}

// exp for x <= 0 with a relative error below 2e-7; zero below -87.
inline float exp_of(float x) {
  const float clamped = x < -87.0f ? -87.0f : x;
  const float scaled = clamped * 1.44269504f;
  const float whole = static_cast<float>(static_cast<std::int32_t>(scaled - 0.5f));
  const float rest = (clamped - whole * 0.693359375f) + whole * 2.12194440e-4f;
  float sum = 1.9875691500e-4f;
  sum = sum * rest + 1.3981999507e-3f;
  sum = sum * rest + 8.3334519073e-3f;
  sum = sum * rest + 4.1665795894e-2f;
  sum = sum * rest + 1.6666665459e-1f;
  sum = sum * rest + 5.0000001201e-1f;
  const float fraction = sum * rest * rest + rest + 1.0f;
  const float power =
      as_float(static_cast<std::uint32_t>(static_cast<std::int32_t>(whole) + 127) << 23);
  return x < -87.0f ? 0.0f : fraction * power;
}

inline float exp_any(float x) { return x > 0.0f ? 1.0f / exp_of(-x) : exp_of(x); }
inline float silu(float x) { return x / (1.0f + exp_any(-x)); }
inline float tanh_of(float x) {
  const float magnitude = x < 0.0f ? -x : x;
  const float decay = exp_of(-2.0f * magnitude);
  const float value = (1.0f - decay) / (1.0f + decay);
  return x < 0.0f ? -value : value;
}

#include "host/model/cpu/products.inl"

// What is normed in one row: x, or x + delta, which is written to `sum`.
template <class T>
inline const T* normed_row(const Norm& p, std::int64_t row) {
  const T* x = static_cast<const T*>(p.x) + row * p.width;
  if (!p.delta) return x;
  const T* delta = static_cast<const T*>(p.delta) + row * p.width;
  T* sum = static_cast<T*>(p.sum) + row * p.width;
#pragma omp simd
  for (std::int64_t k = 0; k < p.width; ++k)
    sum[k] = from_float<T>(to_float(x[k]) + to_float(delta[k]));
  return sum;
}

template <class T>
void squares(const Norm& p, float* out, std::int64_t begin, std::int64_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    const T* x = normed_row<T>(p, row);
#pragma omp simd
    for (std::int64_t k = 0; k < p.width; ++k)
      out[row * p.width + k] = to_float(x[k]) * to_float(x[k]);
  }
}

template <class T>
inline float scale_of(const T* x, std::int64_t width, float eps) {
  float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
  for (std::int64_t k = 0; k < width; ++k) squares += to_float(x[k]) * to_float(x[k]);
  return 1.0f / __builtin_sqrtf(squares / static_cast<float>(width) + eps);
}

template <class T>
void norm(const Norm& p, std::int64_t begin, std::int64_t end) {
  const T* weight = static_cast<const T*>(p.weight);
  for (std::int64_t row = begin; row < end; ++row) {
    const T* x = normed_row<T>(p, row);
    const float scale = p.scale ? p.scale[row] : scale_of(x, p.width, p.eps);
    T* out = static_cast<T*>(p.normed) + row * p.width;
    if (p.one_plus_weight) {
#pragma omp simd
      for (std::int64_t k = 0; k < p.width; ++k) {
        out[k] = from_float<T>(to_float(x[k]) * scale * (1.0f + to_float(weight[k])));
      }
    } else {
#pragma omp simd
      for (std::int64_t k = 0; k < p.width; ++k) {
        out[k] =
            from_float<T>(to_float(weight[k]) * to_float(from_float<T>(to_float(x[k]) * scale)));
      }
    }
  }
}

template <class T>
inline float rounded(float x) {
  return to_float(from_float<T>(x));
}

// Each product is rounded, as transformers does it tensor by tensor: products and sums have loops
// of their own, or the compiler would fuse them. `from` and `to` may be the same head.
template <class T>
inline void rotate_head(const T* from, T* to, const T* cos, const T* sin, std::int64_t rotary,
                        std::int64_t dim) {
  constexpr std::int64_t kPairs = 64;  // pairs at a time
  float products[4][kPairs];
  const std::int64_t half = rotary / 2;
  for (std::int64_t first = 0; first < half; first += kPairs) {
    const std::int64_t count = half - first < kPairs ? half - first : kPairs;
    const T *low = from + first, *high = low + half;
#pragma omp simd
    for (std::int64_t k = 0; k < count; ++k) {
      products[0][k] = rounded<T>(to_float(low[k]) * to_float(cos[first + k]));
      products[1][k] = rounded<T>(to_float(high[k]) * to_float(sin[first + k]));
      products[2][k] = rounded<T>(to_float(high[k]) * to_float(cos[first + half + k]));
      products[3][k] = rounded<T>(to_float(low[k]) * to_float(sin[first + half + k]));
    }
#pragma omp simd
    for (std::int64_t k = 0; k < count; ++k) {
      to[first + k] = from_float<T>(products[0][k] - products[1][k]);
      to[first + half + k] = from_float<T>(products[2][k] + products[3][k]);
    }
  }
  for (std::int64_t k = rotary; k < dim; ++k) to[k] = from[k];
}

template <class T>
void rotate(const Rotation& p, std::int64_t begin, std::int64_t end) {
  const std::int64_t width = p.heads * p.head_dim;
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t angle = row % p.angle_rows * p.rotary_dim;
    for (std::int64_t at = row * width; at < (row + 1) * width; at += p.head_dim) {
      rotate_head(static_cast<const T*>(p.from) + at, static_cast<T*>(p.to) + at,
                  static_cast<const T*>(p.cos) + angle, static_cast<const T*>(p.sin) + angle,
                  p.rotary_dim, p.head_dim);
    }
  }
}

template <class T>
void store_token(const AttentionStep& p, std::int64_t begin, std::int64_t end) {
  const std::int64_t rotary = p.cos ? p.rotary_dim : 0;
  for (std::int64_t row = begin; row < end; ++row) {
    const T* cos = static_cast<const T*>(p.cos) + row * p.angle_stride;
    const T* sin = static_cast<const T*>(p.sin) + row * p.angle_stride;
    for (std::int64_t head = 0; head < p.heads; ++head) {
      T* query = static_cast<T*>(p.query) + (row * p.heads + head) * p.head_dim;
      rotate_head(query, query, cos, sin, rotary, p.head_dim);
    }
    for (std::int64_t head = 0; head < p.kv_heads; ++head) {
      const std::int64_t place = row * p.kv_heads + head;
      const std::int64_t slot = (place * p.capacity + p.past) * p.head_dim;
      rotate_head(static_cast<const T*>(p.key) + place * p.head_dim, static_cast<T*>(p.keys) + slot,
                  cos, sin, rotary, p.head_dim);
      const T* value = static_cast<const T*>(p.value) + place * p.head_dim;
      T* stored = static_cast<T*>(p.values) + slot;
      for (std::int64_t k = 0; k < p.head_dim; ++k) stored[k] = value[k];
    }
  }
}

#include "host/model/cpu/attention.inl"

template <class T>
void convert(const void* x, float* out, std::int64_t count) {
  const T* from = static_cast<const T*>(x);
#pragma omp simd
  for (std::int64_t k = 0; k < count; ++k) out[k] = to_float(from[k]);
}

// One function for the three element types.
#define QH_FOR_ELEMENT(element, function, ...) \
  switch (element) {                           \
    case Element::kF32:                        \
      return function<F32>(__VA_ARGS__);       \
    case Element::kBf16:                       \
      return function<Bf16>(__VA_ARGS__);      \
    case Element::kF16:                        \
      return function<F16>(__VA_ARGS__);       \
  }

void any_to_float(Element element, const void* x, float* out, std::int64_t count) {
  QH_FOR_ELEMENT(element, convert, x, out, count)
}
template <class T>
void same_product(const Product& p, std::int64_t begin, std::int64_t end) {
  product<T, T>(p, begin, end);
}
template <class W>
void widening_product(const Product& p, std::int64_t begin, std::int64_t end) {
  product<W, F32>(p, begin, end);
}
void any_product(const Product& p, std::int64_t begin, std::int64_t end) {
  if (p.element == p.weight_element) QH_FOR_ELEMENT(p.element, same_product, p, begin, end)
  QH_FOR_ELEMENT(p.weight_element, widening_product, p, begin, end)
}
template <class T>
void same_gated(const GatedProduct& p, std::int64_t begin, std::int64_t end) {
  gated_product<T, T>(p, begin, end);
}
template <class W>
void widening_gated(const GatedProduct& p, std::int64_t begin, std::int64_t end) {
  gated_product<W, F32>(p, begin, end);
}
void any_gated_product(const GatedProduct& p, std::int64_t begin, std::int64_t end) {
  if (p.gate.element == p.gate.weight_element)
    QH_FOR_ELEMENT(p.gate.element, same_gated, p, begin, end)
  QH_FOR_ELEMENT(p.gate.weight_element, widening_gated, p, begin, end)
}
void any_norm(const Norm& p, std::int64_t begin, std::int64_t end) {
  QH_FOR_ELEMENT(p.element, norm, p, begin, end)
}
void any_squares(const Norm& p, float* out, std::int64_t begin, std::int64_t end) {
  QH_FOR_ELEMENT(p.element, squares, p, out, begin, end)
}
void any_rotate(const Rotation& p, std::int64_t begin, std::int64_t end) {
  QH_FOR_ELEMENT(p.element, rotate, p, begin, end)
}
void any_store_token(const AttentionStep& p, std::int64_t begin, std::int64_t end) {
  QH_FOR_ELEMENT(p.element, store_token, p, begin, end)
}
void any_attend(const AttentionStep& p, float* scratch, std::int64_t begin, std::int64_t end) {
  QH_FOR_ELEMENT(p.element, attend, p, scratch, begin, end)
}

#undef QH_FOR_ELEMENT

constexpr Kernels make_kernels(const char* name) {
  return {name,        any_to_float, any_product,     any_gated_product, any_norm,
          any_squares, any_rotate,   any_store_token, any_attend};
}

}  // namespace
}  // namespace quanthost::model::cpu::QH_ISA

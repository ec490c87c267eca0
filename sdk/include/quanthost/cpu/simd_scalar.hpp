// quanthost/cpu/simd.hpp in plain C++: one lane. The reference that the other instruction sets are
// tested against.
#pragma once

#include <cmath>
#include <quanthost/cpu/formats.hpp>

namespace quanthost::cpu {
namespace {

inline constexpr int kLanes = 1;
struct Floats {
  float v;
};
struct Ints {
  std::int32_t v;
};
struct Mask {
  bool v;
};

inline Floats floats(float x) { return {x}; }
inline Ints ints(int x) { return {x}; }
inline Ints bits(Floats a) { return {static_cast<std::int32_t>(bits_of(a.v))}; }
inline Floats floats_from_bits(Ints a) { return {float_of(static_cast<std::uint32_t>(a.v))}; }
inline Floats to_floats(Ints a) { return {static_cast<float>(a.v)}; }
// As the vector instructions: what does not fit, and NaN, becomes INT32_MIN.
inline Ints to_ints(Floats a) {
  if (!(a.v >= -2147483648.0f && a.v < 2147483648.0f)) return {INT32_MIN};
  return {static_cast<std::int32_t>(std::nearbyint(a.v))};
}

inline Floats operator+(Floats a, Floats b) { return {a.v + b.v}; }
inline Floats operator-(Floats a, Floats b) { return {a.v - b.v}; }
inline Floats operator*(Floats a, Floats b) { return {a.v * b.v}; }
inline Floats operator/(Floats a, Floats b) { return {a.v / b.v}; }
inline Floats fma(Floats a, Floats b, Floats c) { return {std::fma(a.v, b.v, c.v)}; }
inline Floats minimum(Floats a, Floats b) { return {a.v < b.v ? a.v : b.v}; }
inline Floats maximum(Floats a, Floats b) { return {a.v > b.v ? a.v : b.v}; }
inline Floats round_even(Floats a) { return {std::nearbyint(a.v)}; }

inline Ints from_unsigned(std::uint32_t a) { return {static_cast<std::int32_t>(a)}; }
inline std::uint32_t as_unsigned(Ints a) { return static_cast<std::uint32_t>(a.v); }
inline Ints operator+(Ints a, Ints b) { return from_unsigned(as_unsigned(a) + as_unsigned(b)); }
inline Ints operator-(Ints a, Ints b) { return from_unsigned(as_unsigned(a) - as_unsigned(b)); }
inline Ints operator&(Ints a, Ints b) { return {a.v & b.v}; }
inline Ints operator|(Ints a, Ints b) { return {a.v | b.v}; }
inline Ints maximum(Ints a, Ints b) { return {a.v > b.v ? a.v : b.v}; }
inline Ints shift_left(Ints a, int n) { return from_unsigned(as_unsigned(a) << n); }
inline Ints shift_right(Ints a, int n) { return from_unsigned(as_unsigned(a) >> n); }
inline Mask operator<(Ints a, Ints b) { return {a.v < b.v}; }
inline Mask equal(Ints a, Ints b) { return {a.v == b.v}; }
inline Ints select(Mask m, Ints yes, Ints no) { return m.v ? yes : no; }

// bfloat16 as the upper half of a float.
inline Ints upper_half_rounded(Ints a) {
  return {from_float<BFloat16>(float_of(as_unsigned(a))).bits};
}
inline Floats to_floats_from_upper_half(Ints a) { return floats_from_bits(shift_left(a, 16)); }
inline Floats round_to_float16(Floats a) { return {to_float(from_float<Float16>(a.v))}; }

template <typename T>
inline Floats load(const T* p) {
  return {to_float(*p)};
}
template <typename T>
inline Floats load_n(const T* p, int n) {
  return {n > 0 ? to_float(*p) : 0.0f};
}
template <typename T>
inline void store(T* p, Floats a) {
  *p = from_float<T>(a.v);
}
template <typename T>
inline void store_n(T* p, Floats a, int n) {
  if (n > 0) store(p, a);
}

inline Ints load_u8(const std::uint8_t* p) { return {*p}; }
inline Ints load_u8_n(const std::uint8_t* p, int n) { return {n > 0 ? *p : 0}; }
inline Ints load_i8(const std::int8_t* p) { return {*p}; }
inline Ints load_i8_n(const std::int8_t* p, int n) { return {n > 0 ? *p : 0}; }
inline void store_u8(std::uint8_t* p, Ints a) { *p = static_cast<std::uint8_t>(a.v & 0xff); }
inline void store_u8_n(std::uint8_t* p, Ints a, int n) {
  if (n > 0) store_u8(p, a);
}

inline float sum(Floats a) { return a.v; }
inline int largest(Ints a) { return a.v; }
inline float least(Floats a) { return a.v; }
inline float largest(Floats a) { return a.v; }

}  // namespace
}  // namespace quanthost::cpu

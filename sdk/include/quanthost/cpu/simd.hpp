// Vectors of floats under one set of names, so that one kernel source serves scalar, AVX2 and
// AVX-512.
//
// Compile the same body once for each instruction set (-mavx2 -mfma -mf16c; -mavx512f -mavx512bw
// -mavx512vl -mavx512dq) and pick one at run time with best_isa(). The widest set that the compiler
// may use is the one this header wraps. Build such files with -ffp-contract=off: fma() is the one
// place where a product is not rounded, and results of everything else are then bit for bit the
// same for every instruction set.
//
// Names, for `Floats` (kLanes floats) and `Ints` (kLanes 32-bit integers):
//   load, load_n, store, store_n   from and to float, BFloat16, Float16; _n touches the first n ≤
//   kLanes elements only
//                                  and reads the others as 0; stores round to nearest even
//   load_u8, load_i8, store_u8     bytes widened to Ints, and the low byte of each lane back; also
//   _n round_to<T>                    a float rounded to what T can hold minimum, maximum the
//   second operand where either is NaN or both are zero
#pragma once

#include <quanthost/cpu/formats.hpp>

#if defined(__AVX512F__)
#include <quanthost/cpu/simd_avx512.hpp>
#elif defined(__AVX2__)
#include <quanthost/cpu/simd_avx2.hpp>
#else
#include <quanthost/cpu/simd_scalar.hpp>
#endif

namespace quanthost::cpu {
namespace {

template <typename T>
inline Floats round_to(Floats v);
template <>
inline Floats round_to<float>(Floats v) {
  return v;
}
template <>
inline Floats round_to<BFloat16>(Floats v) {
  return to_floats_from_upper_half(upper_half_rounded(bits(v)));
}
template <>
inline Floats round_to<Float16>(Floats v) {
  return round_to_float16(v);
}

// The value of a float8 code in each lane (0 … 255).
inline Floats decode_float8(Ints code, const Float8Format& f) {
  const int drop = 23 - f.mantissa_bits;
  const Ints magnitude = code & ints(0x7f);
  const float step = float_of(static_cast<std::uint32_t>(128 - f.bias - f.mantissa_bits) << 23);
  const Ints normal = shift_left(magnitude, drop) + ints((127 - f.bias) << 23);
  const Ints subnormal = bits(to_floats(magnitude) * floats(step));
  Ints value = select(magnitude < ints(1 << f.mantissa_bits), subnormal, normal);
  if (f.unsigned_zero) {
    value = value | shift_left(code & ints(0x80), 24);
    return floats_from_bits(select(equal(code, ints(0x80)), ints(0x7fc00000), value));
  }
  const Ints payload = f.mantissa_bits == 2 ? shift_left(magnitude & ints(3), 21) : ints(0x400000);
  value = select(magnitude < ints(static_cast<int>(f.first_special)), value,
                 ints(0x7f800000) | payload);
  return floats_from_bits(value | shift_left(code & ints(0x80), 24));
}

// The float8 code of each lane; the magnitude is at most the format's maximum or NaN.
inline Ints encode_float8(Floats v, const Float8Format& f) {
  const Ints all = bits(v);
  const Ints sign = shift_right(all, 24) & ints(0x80);
  const Ints magnitude = all & ints(0x7fffffff);
  const int drop = 23 - f.mantissa_bits;
  const Ints anchor = ints((127 + 24 - f.bias - f.mantissa_bits) << 23);
  const Ints subnormal = bits(floats_from_bits(magnitude) + floats_from_bits(anchor)) - anchor;
  const Ints half = ints((1 << (drop - 1)) - 1) + (shift_right(magnitude, drop) & ints(1));
  const Ints normal = shift_right(magnitude + half - ints((127 - f.bias) << 23), drop);
  Ints code = select(magnitude < ints((128 - f.bias) << 23), subnormal, normal) | sign;
  if (f.unsigned_zero) code = select(equal(code, ints(0x80)), ints(0), code);
  const Ints nan =
      f.unsigned_zero ? ints(static_cast<int>(f.nan)) : ints(static_cast<int>(f.nan)) | sign;
  return select(ints(0x7f800000) < magnitude, nan, code);
}

}  // namespace
}  // namespace quanthost::cpu

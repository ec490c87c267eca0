// The kernels without vectors: what every other instruction set is tested against.
#include "plugins/bnb4/kernels/cpu/values.hpp"

namespace quanthost::bnb4::cpu {
namespace {

#include "plugins/bnb4/kernels/cpu/blockwise.inl"
#include "plugins/bnb4/kernels/cpu/linear.inl"

struct Scalar {
  using Element = float;
  using Register = float;
  using Accumulator = float;
  static constexpr int kStep = 1;
  static constexpr int kTileBatch = 4;

  static float zero() { return 0.0f; }
  static float load(const float* at) { return *at; }
  static float broadcast(float value) { return value; }
  static void store(float* at, float value) { *at = value; }
  static float dot(float sum, float a, float b) { return sum + a * b; }
  static float scale_add(float sum, float part, float scale) { return sum + part * scale; }
  static float sum(float value) { return value; }
  static void prefetch(const uint8_t*) {}

  using Codes = const float*;
  struct Lookup {
    const float* codes;
    float scale;
  };
  static Codes codes(QuantType type) { return code_table(type); }
  static Lookup lookup(Codes codes, float scale) { return {codes, scale}; }
  static void decode(const Lookup& lookup, const uint8_t* packed, float* even, float* odd) {
    *even = lookup.codes[*packed >> 4] * lookup.scale;
    *odd = lookup.codes[*packed & 15] * lookup.scale;
  }

  static QuantType bins(QuantType type) { return type; }
  template <class T>
  static float max_abs(const T* source, int64_t count, bool* has_nan) {
    float result = 0.0f;
    for (int64_t i = 0; i < count; ++i) {
      const float value = to_float(source[i]);
      const float magnitude = value < 0 ? -value : value;
      if (magnitude != magnitude) *has_nan = true;
      if (magnitude > result) result = magnitude;
    }
    return result;
  }
  template <class T>
  static void encode32(const T* source, float scale, QuantType type, uint8_t* out) {
    for (int i = 0; i < 16; ++i) {
      const uint8_t high = encode_cpu(to_float(source[2 * i]) * scale, type);
      const uint8_t low = encode_cpu(to_float(source[2 * i + 1]) * scale, type);
      out[i] = static_cast<uint8_t>(high << 4 | low);
    }
  }
  static Codes value_codes(QuantType type) { return code_table(type); }
  template <class T>
  static void dequantize(const uint8_t* packed, int64_t count, Codes codes, float scale, T* out,
                         bool) {
    for (int64_t i = 0; i < count; ++i) from_float(codes[nibble_at(packed, i)] * scale, &out[i]);
  }
  static void fence() {}
};

constexpr LinearKernel kLinear = linear_kernel<Scalar>();

}  // namespace

const KernelTable& scalar_kernels() {
  static const KernelTable table = {
      "scalar", quantize_run<Scalar>, dequantize_run<Scalar>, expand_run, &kLinear, nullptr,
      nullptr,  backward_run<Scalar>};
  return table;
}

}  // namespace quanthost::bnb4::cpu

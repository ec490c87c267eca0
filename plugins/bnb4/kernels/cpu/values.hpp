// Typed loads and stores of single values, for the edges that no vector covers.
#ifndef QUANTHOST_PLUGINS_BNB4_KERNELS_CPU_VALUES_HPP
#define QUANTHOST_PLUGINS_BNB4_KERNELS_CPU_VALUES_HPP

#include "plugins/bnb4/kernels/cpu/kernels.hpp"

namespace quanthost::bnb4::cpu {

static inline float load_value(const void* data, FloatType type, int64_t index) {
  switch (type) {
    case FloatType::kFloat16:
      return to_float(static_cast<const Half*>(data)[index]);
    case FloatType::kBfloat16:
      return to_float(static_cast<const Bfloat*>(data)[index]);
    case FloatType::kFloat32:
      break;
  }
  return static_cast<const float*>(data)[index];
}

static inline void store_value(void* data, FloatType type, int64_t index, float value) {
  switch (type) {
    case FloatType::kFloat16:
      static_cast<Half*>(data)[index] = to_half(value);
      return;
    case FloatType::kBfloat16:
      static_cast<Bfloat*>(data)[index] = to_bfloat(value);
      return;
    case FloatType::kFloat32:
      static_cast<float*>(data)[index] = value;
      return;
  }
}

static inline float rounded_to(FloatType type, float value) {
  if (type == FloatType::kFloat16) return to_float(to_half(value));
  return type == FloatType::kBfloat16 ? to_float(to_bfloat(value)) : value;
}

// One finished sum of a forward product.
static inline void store_output(const LinearArgs& args, int64_t batch_row, int64_t weight_row,
                                float sum) {
  const float value = args.bias ? sum + args.bias[weight_row] : sum;
  const float rounded = args.compute == args.output_type ? value : rounded_to(args.compute, value);
  store_value(args.output, args.output_type, batch_row * args.weight.rows + weight_row, rounded);
}

// Elements [begin, begin + count) of the flattened weight, in natural order.
static inline void decode_elements(const PackedMatrix& weight, int64_t begin, int64_t count,
                                   float* out) {
  const float* codes = code_table(weight.type);
  int64_t element = begin;
  while (element < begin + count) {
    const int64_t block = element / weight.blocksize;
    int64_t end = (block + 1) * weight.blocksize;
    if (end > begin + count) end = begin + count;
    const float scale = weight.absmax[block - weight.first_block];
    for (; element < end; ++element) *out++ = codes[nibble_at(weight.packed, element)] * scale;
  }
}

}  // namespace quanthost::bnb4::cpu

#endif

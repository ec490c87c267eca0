// Inputs and results of the bfloat16 products, in vectors. For files that may use AVX512-BF16.
#ifndef QUANTHOST_PLUGINS_BNB4_KERNELS_CPU_BF16_ROWS_HPP
#define QUANTHOST_PLUGINS_BNB4_KERNELS_CPU_BF16_ROWS_HPP

#include <immintrin.h>

#include "plugins/bnb4/kernels/cpu/values.hpp"

namespace quanthost::bnb4::cpu {
namespace {

// 32 input elements as bfloat16, which is what they are rounded to here.
inline __m512i load_bfloat(const StageArgs& args, int64_t element) {
  switch (args.type) {
    case FloatType::kBfloat16:
      return _mm512_loadu_si512(static_cast<const Bfloat*>(args.rows) + element);
    case FloatType::kFloat32: {
      const float* at = static_cast<const float*>(args.rows) + element;
      return reinterpret_cast<__m512i>(
          _mm512_cvtne2ps_pbh(_mm512_loadu_ps(at + 16), _mm512_loadu_ps(at)));
    }
    case FloatType::kFloat16:
      break;
  }
  const auto* at = reinterpret_cast<const __m256i*>(static_cast<const Half*>(args.rows) + element);
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(_mm512_cvtph_ps(_mm256_loadu_si256(at + 1)),
                                                       _mm512_cvtph_ps(_mm256_loadu_si256(at))));
}

// 64 input elements: the even ones, then the odd ones (Order::kSplit).
inline void load_split(const StageArgs& args, int64_t element, __m512i* even, __m512i* odd) {
  const __m512i index = _mm512_set_epi16(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0,
                                         30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i evens = _mm512_mask_add_epi16(index, 0xffff0000u, index, _mm512_set1_epi16(32));
  const __m512i low = load_bfloat(args, element);
  const __m512i high = load_bfloat(args, element + 32);
  *even = _mm512_permutex2var_epi16(low, evens, high);
  *odd = _mm512_permutex2var_epi16(low, _mm512_add_epi16(evens, _mm512_set1_epi16(1)), high);
}

// Sixteen sums of one input row, for 16 consecutive weight rows.
inline void store_sixteen(const LinearArgs& args, int64_t batch_row, int64_t weight_row,
                          int64_t count, __m512 sums) {
  alignas(64) float values[16];
  if (count == 16 && args.compute == args.output_type && args.output_type == FloatType::kBfloat16) {
    if (args.bias) sums = _mm512_add_ps(sums, _mm512_loadu_ps(args.bias + weight_row));
    auto* out = static_cast<Bfloat*>(args.output) + batch_row * args.weight.rows + weight_row;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sums)));
    return;
  }
  _mm512_store_ps(values, sums);
  for (int64_t i = 0; i < count; ++i) store_output(args, batch_row, weight_row + i, values[i]);
}

}  // namespace
}  // namespace quanthost::bnb4::cpu

#endif

// AVX-512 with BF16: products of bfloat16 pairs, summed in float32.
#include <immintrin.h>

#include "plugins/bnb4/kernels/cpu/values.hpp"

namespace quanthost::bnb4::cpu {
namespace {

#include "plugins/bnb4/kernels/cpu/linear.inl"

struct Avx512Bf16 {
  using Element = Bfloat;
  using Register = __m512i;
  using Accumulator = __m512;
  static constexpr int kStep = 32;
  static constexpr int kTileBatch = 6;

  static __m512 zero() { return _mm512_setzero_ps(); }
  static __m512i load(const Bfloat* at) { return _mm512_loadu_si512(at); }
  static void store(Bfloat* at, __m512i value) { _mm512_storeu_si512(at, value); }
  static __m512 dot(__m512 sum, __m512i a, __m512i b) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
  static __m512 scale_add(__m512 sum, __m512 part, float scale) {
    return _mm512_fmadd_ps(part, _mm512_set1_ps(scale), sum);
  }
  static float sum(__m512 value) { return _mm512_reduce_add_ps(value); }
  static void prefetch(const uint8_t* at) {
    _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1);
  }

  using Codes = __m512;
  using Lookup = __m512i;  // the sixteen values twice: the fifth bit of an index does not matter
  static Codes codes(QuantType type) { return _mm512_loadu_ps(code_table(type)); }
  static Lookup lookup(Codes codes, float scale) {
    const __m256bh words = _mm512_cvtneps_pbh(_mm512_mul_ps(codes, _mm512_set1_ps(scale)));
    return _mm512_broadcast_i64x4(reinterpret_cast<__m256i>(words));
  }
  static void decode(Lookup lookup, const uint8_t* packed, __m512i* even, __m512i* odd) {
    const __m512i bytes =
        _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(packed)));
    *even = _mm512_permutexvar_epi16(_mm512_srli_epi16(bytes, 4), lookup);
    *odd = _mm512_permutexvar_epi16(bytes, lookup);
  }
};

constexpr LinearKernel kLinear = linear_kernel<Avx512Bf16>();

}  // namespace

const KernelTable& avx512_bf16_kernels() {
  static const KernelTable table = {"avx512_bf16",
                                    avx512_kernels().quantize_blocks,
                                    avx512_kernels().dequantize_blocks,
                                    avx512_kernels().expand_scales,
                                    avx512_kernels().linear_float32,
                                    &kLinear,
                                    nullptr,
                                    avx512_kernels().backward};
  return table;
}

}  // namespace quanthost::bnb4::cpu

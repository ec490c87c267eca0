// The kernels for AVX2 with FMA and F16C.
#include <immintrin.h>

#include "plugins/bnb4/kernels/cpu/values.hpp"

namespace quanthost::bnb4::cpu {
namespace {

#include "plugins/bnb4/kernels/cpu/blockwise.inl"
#include "plugins/bnb4/kernels/cpu/linear.inl"

// Sixteen floats looked up by eight indices, of which the low four bits count.
struct Table16 {
  __m256 low;
  __m256 high;
  __m256 at(__m256i index) const {
    const __m256 from_low = _mm256_permutevar8x32_ps(low, index);
    const __m256 from_high = _mm256_permutevar8x32_ps(high, index);
    return _mm256_blendv_ps(from_low, from_high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
  }
};

__m256 load8(const float* at) { return _mm256_loadu_ps(at); }
__m256 load8(const Half* at) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}
__m256 load8(const Bfloat* at) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

// Eight floats as bfloat16 in the low halves of eight 32-bit lanes, rounded to nearest even.
__m256i round_bfloat(__m256 value) {
  const __m256i bits = _mm256_castps_si256(value);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(
      _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256 nan = _mm256_cmp_ps(value, value, _CMP_UNORD_Q);
  return _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), _mm256_castps_si256(nan));
}
__m128i to_words(__m256 value, Half*) { return _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT); }
__m128i to_words(__m256 value, Bfloat*) {
  const __m256i packed = _mm256_packus_epi32(round_bfloat(value), _mm256_setzero_si256());
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}

struct Avx2 {
  using Element = float;
  using Register = __m256;
  using Accumulator = __m256;
  static constexpr int kStep = 8;
  static constexpr int kTileBatch = 2;

  static __m256 zero() { return _mm256_setzero_ps(); }
  static __m256 load(const float* at) { return _mm256_loadu_ps(at); }
  static __m256 broadcast(float value) { return _mm256_set1_ps(value); }
  static void store(float* at, __m256 value) { _mm256_storeu_ps(at, value); }
  static __m256 dot(__m256 sum, __m256 a, __m256 b) { return _mm256_fmadd_ps(a, b, sum); }
  static __m256 scale_add(__m256 sum, __m256 part, float scale) {
    return _mm256_fmadd_ps(part, _mm256_set1_ps(scale), sum);
  }
  static float sum(__m256 value) {
    const __m128 half = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps(value, 1));
    const __m128 pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
  }
  static void prefetch(const uint8_t* at) {
    _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1);
  }

  using Codes = Table16;
  using Lookup = Table16;
  static Codes codes(QuantType type) {
    return {load8(code_table(type)), load8(code_table(type) + 8)};
  }
  static Lookup lookup(const Codes& codes, float scale) {
    const __m256 factor = _mm256_set1_ps(scale);
    return {_mm256_mul_ps(codes.low, factor), _mm256_mul_ps(codes.high, factor)};
  }
  static void decode(const Lookup& lookup, const uint8_t* packed, __m256* even, __m256* odd) {
    const __m256i bytes =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(packed)));
    *even = lookup.at(_mm256_srli_epi32(bytes, 4));
    *odd = lookup.at(bytes);
  }

  struct Bins {
    float thresholds[16];
    __m128i order;
  };
  static Bins bins(QuantType type) {
    Bins result{};
    for (int i = 0; i < 16; ++i) result.thresholds[i] = cpu_thresholds(type)[i];
    result.order = _mm_loadu_si128(reinterpret_cast<const __m128i*>(cpu_order(type)));
    return result;
  }
  template <class T>
  static float max_abs(const T* source, int64_t count, bool* has_nan) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 largest = _mm256_setzero_ps();
    __m256 unordered = _mm256_setzero_ps();
    for (int64_t i = 0; i < count; i += 8) {
      const __m256 value = load8(source + i);
      unordered = _mm256_or_ps(unordered, _mm256_cmp_ps(value, value, _CMP_UNORD_Q));
      largest = _mm256_max_ps(_mm256_andnot_ps(sign, value), largest);
    }
    *has_nan = _mm256_movemask_ps(unordered) != 0;
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(largest), _mm256_extractf128_ps(largest, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
  }
  // Bin of each of eight values: minus the number of thresholds that are not above or equal.
  static __m256i bin8(__m256 value, const Bins& bins) {
    __m256i count = _mm256_setzero_si256();
    for (int i = 0; i < 15; ++i) {
      const __m256 above = _mm256_cmp_ps(_mm256_set1_ps(bins.thresholds[i]), value, _CMP_NGE_UQ);
      count = _mm256_sub_epi32(count, _mm256_castps_si256(above));
    }
    return count;
  }
  template <class T>
  static void encode32(const T* source, float scale, const Bins& bins, uint8_t* out) {
    const __m256 factor = _mm256_set1_ps(scale);
    __m256i bin[4];
    for (int i = 0; i < 4; ++i) bin[i] = bin8(_mm256_mul_ps(load8(source + 8 * i), factor), bins);
    // The packs work within 128-bit lanes; the permutation puts the 32 bytes back in order.
    const __m256i words0 = _mm256_packus_epi32(bin[0], bin[1]);
    const __m256i words1 = _mm256_packus_epi32(bin[2], bin[3]);
    const __m256i mixed = _mm256_packus_epi16(words0, words1);
    const __m256i bytes =
        _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    const __m256i codes = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bins.order), bytes);
    const __m256i pairs =
        _mm256_maddubs_epi16(codes, _mm256_set1_epi16(0x0110));  // high * 16 + low
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi16(pairs, pairs), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(packed));
  }

  static Codes value_codes(QuantType type) { return codes(type); }
  static void dequantize(const uint8_t* packed, int64_t count, const Codes& codes, float scale,
                         float* out, bool) {
    const Lookup values = lookup(codes, scale);
    for (int64_t i = 0; i < count; i += 16) {
      __m256 even, odd;
      decode(values, packed + i / 2, &even, &odd);
      const __m256 low = _mm256_unpacklo_ps(even, odd);
      const __m256 high = _mm256_unpackhi_ps(even, odd);
      _mm256_storeu_ps(out + i, _mm256_permute2f128_ps(low, high, 0x20));
      _mm256_storeu_ps(out + i + 8, _mm256_permute2f128_ps(low, high, 0x31));
    }
  }
  // 16-bit results: the sixteen products of the block are made once, and looked up a byte at a
  // time.
  template <class T>
  static void dequantize(const uint8_t* packed, int64_t count, const Codes& codes, float scale,
                         T* out, bool) {
    const Lookup values = lookup(codes, scale);
    const __m128i split = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    const __m128i words0 = _mm_shuffle_epi8(to_words(values.low, out), split);
    const __m128i words1 = _mm_shuffle_epi8(to_words(values.high, out), split);
    const __m256i low_bytes = _mm256_broadcastsi128_si256(_mm_unpacklo_epi64(words0, words1));
    const __m256i high_bytes = _mm256_broadcastsi128_si256(_mm_unpackhi_epi64(words0, words1));
    const __m256i mask = _mm256_set1_epi16(0x000f);
    for (int64_t i = 0; i < count; i += 32) {
      const __m256i bytes =
          _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + i / 2)));
      // The high nibble comes first.
      const __m256i index = _mm256_or_si256(_mm256_srli_epi16(bytes, 4),
                                            _mm256_slli_epi16(_mm256_and_si256(bytes, mask), 8));
      const __m256i low = _mm256_shuffle_epi8(low_bytes, index);
      const __m256i high = _mm256_shuffle_epi8(high_bytes, index);
      const __m256i first = _mm256_unpacklo_epi8(low, high);
      const __m256i second = _mm256_unpackhi_epi8(low, high);
      auto* to = reinterpret_cast<__m256i*>(out + i);
      _mm256_storeu_si256(to, _mm256_permute2x128_si256(first, second, 0x20));
      _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(first, second, 0x31));
    }
  }
  static void fence() {}
};

constexpr LinearKernel kLinear = linear_kernel<Avx2>();

}  // namespace

const KernelTable& avx2_kernels() {
  static const KernelTable table = {"avx2",     quantize_run<Avx2>, dequantize_run<Avx2>,
                                    expand_run, &kLinear,           nullptr,
                                    nullptr,    backward_run<Avx2>};
  return table;
}

}  // namespace quanthost::bnb4::cpu

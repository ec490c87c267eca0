// The AVX-512 vector type that the three AVX-512 translation units share. To be included in an
// unnamed namespace, after <immintrin.h> and the .inl files.

inline __m512 load16(const float* at) { return _mm512_loadu_ps(at); }
inline __m512 load16(const Half* at) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}
inline __m512 load16(const Bfloat* at) {
  const __m512i wide =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

// Sixteen floats as 16-bit values, rounded to nearest even; bfloat16 by integers, since
// vcvtneps2bf16 flushes denormals.
inline __m256i to_words(__m512 value, Half*) {
  return _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT);
}
inline __m256i to_words(__m512 value, Bfloat*) {
  const __m512i bits = _mm512_castps_si512(value);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(
      _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0)));
}

template <class T>
inline void store64(T* to, __m512i value, bool stream) {
  if (stream) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), value);
  } else {
    _mm512_storeu_si512(to, value);
  }
}

struct Avx512 {
  using Element = float;
  using Register = __m512;
  using Accumulator = __m512;
  static constexpr int kStep = 16;
  static constexpr int kTileBatch = 6;

  static __m512 zero() { return _mm512_setzero_ps(); }
  static __m512 load(const float* at) { return _mm512_loadu_ps(at); }
  static __m512 broadcast(float value) { return _mm512_set1_ps(value); }
  static void store(float* at, __m512 value) { _mm512_storeu_ps(at, value); }
  static __m512 dot(__m512 sum, __m512 a, __m512 b) { return _mm512_fmadd_ps(a, b, sum); }
  static __m512 scale_add(__m512 sum, __m512 part, float scale) {
    return _mm512_fmadd_ps(part, _mm512_set1_ps(scale), sum);
  }
  static float sum(__m512 value) { return _mm512_reduce_add_ps(value); }
  static void prefetch(const uint8_t* at) {
    _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1);
  }

  using Codes = __m512;
  using Lookup = __m512;
  static Codes codes(QuantType type) { return _mm512_loadu_ps(code_table(type)); }
  static Lookup lookup(Codes codes, float scale) {
    return _mm512_mul_ps(codes, _mm512_set1_ps(scale));
  }
  static void decode(Lookup lookup, const uint8_t* packed, __m512* even, __m512* odd) {
    const __m512i bytes =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(packed)));
    *even = _mm512_permutexvar_ps(_mm512_srli_epi32(bytes, 4), lookup);
    *odd = _mm512_permutexvar_ps(bytes, lookup);  // only the low four bits of an index count
  }

  struct Bins {
    __m512 thresholds;
    __m512i order;
  };
  static Bins bins(QuantType type) {
    const __m128i order = _mm_loadu_si128(reinterpret_cast<const __m128i*>(cpu_order(type)));
    return {_mm512_loadu_ps(cpu_thresholds(type)), _mm512_cvtepu8_epi32(order)};
  }
  template <class T>
  static float max_abs(const T* source, int64_t count, bool* has_nan) {
    __m512 largest = _mm512_setzero_ps();
    __mmask16 unordered = 0;
    for (int64_t i = 0; i < count; i += 16) {
      const __m512 value = load16(source + i);
      unordered =
          static_cast<__mmask16>(unordered | _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q));
      largest = _mm512_max_ps(_mm512_abs_ps(value), largest);
    }
    *has_nan = unordered != 0;
    return _mm512_reduce_max_ps(largest);
  }
  // Bisects the fifteen thresholds: four comparisons.
  static __m512i code16(__m512 value, const Bins& bins) {
    __m512i bin = _mm512_setzero_si512();
    for (int step = 8; step > 0; step >>= 1) {
      const __m512 threshold = _mm512_permutexvar_ps(
          _mm512_add_epi32(bin, _mm512_set1_epi32(step - 1)), bins.thresholds);
      const __mmask16 above = _mm512_cmp_ps_mask(threshold, value, _CMP_NGE_UQ);
      bin = _mm512_mask_add_epi32(bin, above, bin, _mm512_set1_epi32(step));
    }
    return _mm512_permutexvar_epi32(bin, bins.order);
  }
  template <class T>
  static void encode32(const T* source, float scale, const Bins& bins, uint8_t* out) {
    const __m512 factor = _mm512_set1_ps(scale);
    const __m128i first = _mm512_cvtepi32_epi8(code16(_mm512_mul_ps(load16(source), factor), bins));
    const __m128i second =
        _mm512_cvtepi32_epi8(code16(_mm512_mul_ps(load16(source + 16), factor), bins));
    const __m128i high_low = _mm_set1_epi16(0x0110);  // high * 16 + low
    const __m128i packed =
        _mm_packus_epi16(_mm_maddubs_epi16(first, high_low), _mm_maddubs_epi16(second, high_low));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), packed);
  }

  static Codes value_codes(QuantType type) { return codes(type); }
  static void dequantize(const uint8_t* packed, int64_t count, Codes codes, float scale, float* out,
                         bool stream) {
    const Lookup values = lookup(codes, scale);
    const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
    for (int64_t i = 0; i < count; i += 32) {
      __m512 even, odd;
      decode(values, packed + i / 2, &even, &odd);
      store64(out + i, _mm512_castps_si512(_mm512_permutex2var_ps(even, first, odd)), stream);
      store64(out + i + 16, _mm512_castps_si512(_mm512_permutex2var_ps(even, second, odd)), stream);
    }
  }
  // 16-bit results: the sixteen products of the block are rounded once and looked up 32 at a time.
  // The table fills the register twice, so the fifth index bit does not matter and the low nibble
  // needs no mask.
  template <class T>
  static void dequantize(const uint8_t* packed, int64_t count, Codes codes, float scale, T* out,
                         bool stream) {
    const __m512i values = _mm512_broadcast_i64x4(to_words(lookup(codes, scale), out));
    for (int64_t i = 0; i < count; i += 32) {
      const __m512i bytes =
          _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + i / 2)));
      const __m512i index =
          _mm512_or_si512(_mm512_srli_epi32(bytes, 4), _mm512_slli_epi32(bytes, 16));
      store64(out + i, _mm512_permutexvar_epi16(index, values), stream);
    }
  }
  static void fence() { _mm_sfence(); }
};

// Products of few tokens with weights: the part of kernels.inl that reads the model. It is included
// there, inside the namespace of the instruction set, and uses its element types.

constexpr std::int64_t kColumns = 4;  // output features at a time
constexpr std::int64_t kChunk =
    1024;  // inputs at a time when the weights are converted for several rows

// Vectors as wide as the machine's, so that the order of a sum is the same for every type of
// weight: bfloat16 weights in a float32 model give the bits that their float32 copies would.
#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));
typedef std::uint32_t BitLanes __attribute__((vector_size(kLanes * sizeof(std::uint32_t))));
typedef std::uint16_t HalfLanes __attribute__((vector_size(kLanes * sizeof(std::uint16_t))));
typedef float Quad __attribute__((vector_size(4 * sizeof(float))));

inline void load_lanes(const F32* from, Lanes& to) { __builtin_memcpy(&to, from, sizeof to); }
inline void load_lanes(const Bf16* from, Lanes& to) {
#ifdef __AVX512F__  // one instruction, for which g++ 12 makes five of the other
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  to = reinterpret_cast<Lanes>(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
#else
  HalfLanes bits;
  __builtin_memcpy(&bits, from, sizeof bits);
  to = reinterpret_cast<Lanes>(__builtin_convertvector(bits, BitLanes) << 16);
#endif
}
inline void load_lanes(const F16* from, Lanes& to) {
  float values[kLanes];
#pragma omp simd
  for (int k = 0; k < kLanes; ++k) values[k] = to_float(from[k]);
  __builtin_memcpy(&to, values, sizeof to);
}

inline float sum_of(const Lanes& lanes) {
  Quad quads[kLanes / 4];
  __builtin_memcpy(quads, &lanes, sizeof lanes);
  Quad sum = quads[0];
  for (int q = 1; q < kLanes / 4; ++q) sum += quads[q];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// x · w with kSums sums at a time, so that no product waits for the one before.
template <class T>
inline float dot(const T* w, const float* x, std::int64_t count) {
  constexpr int kSums = 4;
  Lanes sums[kSums] = {};
  const auto add = [](Lanes& sum, const T* weights, const float* values) {
    Lanes weight, value;
    load_lanes(weights, weight);
    __builtin_memcpy(&value, values, sizeof value);
    sum += weight * value;
  };
  std::int64_t k = 0;
  for (; k + kSums * kLanes <= count; k += kSums * kLanes) {
    for (int i = 0; i < kSums; ++i) add(sums[i], w + k + i * kLanes, x + k + i * kLanes);
  }
  for (; k + kLanes <= count; k += kLanes) add(sums[0], w + k, x + k);
  if (k < count) {
    T weights[kLanes] = {};
    float values[kLanes] = {};
    for (std::int64_t i = k; i < count; ++i) {
      weights[i - k] = w[i];
      values[i - k] = x[i];
    }
    add(sums[1], weights, values);
  }
  return sum_of((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// sums[j] += x · w[j], one feature after the other: the weights are then read in the order in which
// they lie in memory, which is twice as fast as reading several rows side by side.
template <class T>
inline void dot_columns(const T* const* w, const float* x, std::int64_t count, float* sums) {
  for (std::int64_t j = 0; j < kColumns; ++j) sums[j] += dot(w[j], x, count);
}

// For several rows the weights are converted once and read again from the first-level cache.
template <class T>
inline void dot_rows(const Product& p, const T* const* w, float (*sums)[kColumns]) {
  float converted[kColumns][kChunk];
  for (std::int64_t start = 0; start < p.in; start += kChunk) {
    const std::int64_t count = p.in - start < kChunk ? p.in - start : kChunk;
    const F32* columns[kColumns];
    for (std::int64_t j = 0; j < kColumns; ++j) {
      const T* from = w[j] + start;
      float* to = converted[j];
#pragma omp simd
      for (std::int64_t k = 0; k < count; ++k) to[k] = to_float(from[k]);
      columns[j] = reinterpret_cast<const F32*>(to);
    }
    for (std::int64_t r = 0; r < p.rows; ++r)
      dot_columns(columns, p.x_float + r * p.in + start, count, sums[r]);
  }
}

#ifdef __AVX512BF16__
inline __m512bh load_bf16(const Bf16* from, __mmask32 lanes) {
  return reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(lanes, from));
}

// The same with both sides in bfloat16: 32 products an instruction and no conversion.
inline float dot_bf16(const Bf16* w, const Bf16* x, std::int64_t count) {
  constexpr int kSums = 4;
  constexpr __mmask32 kAll = ~0u;
  __m512 sums[kSums] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                        _mm512_setzero_ps()};
  std::int64_t k = 0;
  for (; k + kSums * 32 <= count; k += kSums * 32) {
    for (int i = 0; i < kSums; ++i)
      sums[i] = _mm512_dpbf16_ps(sums[i], load_bf16(w + k + 32 * i, kAll),
                                 load_bf16(x + k + 32 * i, kAll));
  }
  for (; k < count; k += 32) {
    const __mmask32 lanes = count - k >= 32 ? kAll : (1u << (count - k)) - 1u;
    sums[0] = _mm512_dpbf16_ps(sums[0], load_bf16(w + k, lanes), load_bf16(x + k, lanes));
  }
  return _mm512_reduce_add_ps(
      _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
}
#endif

// sums[r][j] for the features n … n + 3; those from `end` on repeat the last and are not used.
template <class W, class T>
inline void dots(const Product& p, const void* weight, std::int64_t n, std::int64_t end,
                 float (*sums)[kColumns]) {
  const W* w[kColumns];
  for (std::int64_t j = 0; j < kColumns; ++j) {
    w[j] = static_cast<const W*>(weight) + (n + j < end ? n + j : end - 1) * p.in;
  }
  for (std::int64_t r = 0; r < p.rows; ++r) {
    for (std::int64_t j = 0; j < kColumns; ++j) sums[r][j] = 0.0f;
  }
#ifdef __AVX512BF16__
  if constexpr (__is_same(T, Bf16)) {
    for (std::int64_t r = 0; r < p.rows; ++r) {
      const T* x = static_cast<const T*>(p.x) + r * p.in;
      for (std::int64_t j = 0; j < kColumns; ++j) sums[r][j] += dot_bf16(w[j], x, p.in);
    }
    return;
  }
#endif
  if (p.rows <= 2) {
    for (std::int64_t r = 0; r < p.rows; ++r) dot_columns(w, p.x_float + r * p.in, p.in, sums[r]);
  } else {
    dot_rows(p, w, sums);
  }
}

template <class W, class T>
void product(const Product& p, std::int64_t begin, std::int64_t end) {
  float sums[kMaxRows][kColumns];
  const T* bias = static_cast<const T*>(p.bias);
  for (std::int64_t n = begin; n < end; n += kColumns) {
    dots<W, T>(p, p.weight, n, end, sums);
    for (std::int64_t r = 0; r < p.rows; ++r) {
      T* out = static_cast<T*>(p.out) + r * p.out_features;
      for (std::int64_t j = 0; j < kColumns && n + j < end; ++j) {
        out[n + j] = from_float<T>(sums[r][j] + (bias ? to_float(bias[n + j]) : 0.0f));
      }
    }
  }
}

template <class W, class T>
void gated_product(const GatedProduct& p, std::int64_t begin, std::int64_t end) {
  float gates[kMaxRows][kColumns];
  float ups[kMaxRows][kColumns];
  for (std::int64_t n = begin; n < end; n += kColumns) {
    dots<W, T>(p.gate, p.gate.weight, n, end, gates);
    dots<W, T>(p.gate, p.up, n, end, ups);
    for (std::int64_t r = 0; r < p.gate.rows; ++r) {
      T* out = static_cast<T*>(p.gate.out) + r * p.gate.out_features;
      for (std::int64_t j = 0; j < kColumns && n + j < end; ++j) {
        const float gate = to_float(from_float<T>(silu(to_float(from_float<T>(gates[r][j])))));
        out[n + j] = from_float<T>(gate * to_float(from_float<T>(ups[r][j])));
      }
    }
  }
}

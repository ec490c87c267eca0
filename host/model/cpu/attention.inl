// Attention of one new token over what the cache holds: the part of kernels.inl that reads keys and
// values. It is included there, inside the namespace of the instruction set, after products.inl.

// Vectors of head values at a time, for each of the heads that share what is read.
constexpr int kColumnVectors = 4;

inline std::int64_t in_whole_lanes(std::int64_t count) {
  return (count + kLanes - 1) / kLanes * kLanes;
}

// The first `left` of kLanes elements, zeros behind them.
template <class T>
inline void load_some(const T* from, std::int64_t left, Lanes& to) {
  if (left >= kLanes) return load_lanes(from, to);
  T part[kLanes] = {};
  for (std::int64_t k = 0; k < left; ++k) part[k] = from[k];
  load_lanes(part, to);
}

// Sums of neighbours: those of a, then those of b.
inline Lanes pair_sums(const Lanes& a, const Lanes& b) {
#if defined(__AVX512F__)
  return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
         __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#elif defined(__AVX2__)
  return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14) +
         __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
#else
  return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
#endif
}
// Lane i becomes the sum of v[i].
inline void sum_each(Lanes (&v)[kLanes]) {
#pragma GCC unroll 8
  for (int left = kLanes; left > 1; left /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < left / 2; ++i) v[i] = pair_sums(v[2 * i], v[2 * i + 1]);
}

// Products of kHeads queries with one key, unsummed, kLanes vectors apart. `wide` holds the queries
// in float32, each in whole lanes.
template <int kHeads, class T>
inline void key_products(const T*, const float* wide, const T* key, std::int64_t dim, Lanes* sums) {
  Lanes parts[kHeads] = {};
  for (std::int64_t k = 0; k < dim; k += kLanes) {
    Lanes values;
    load_some(key + k, dim - k, values);
    for (int h = 0; h < kHeads; ++h) {
      Lanes query;
      __builtin_memcpy(&query, wide + h * in_whole_lanes(dim) + k, sizeof query);
      parts[h] += query * values;
    }
  }
  for (int h = 0; h < kHeads; ++h) sums[h * kLanes] = parts[h];
}
#ifdef __AVX512BF16__
template <int kHeads>
inline void key_products(const Bf16* queries, const float*, const Bf16* key, std::int64_t dim,
                         Lanes* sums) {
  __m512 parts[kHeads];
  for (int h = 0; h < kHeads; ++h) parts[h] = _mm512_setzero_ps();
  for (std::int64_t k = 0; k < dim; k += 32) {
    const __mmask32 lanes = dim - k >= 32 ? ~0u : (1u << (dim - k)) - 1u;
    const __m512bh values = load_bf16(key + k, lanes);
    for (int h = 0; h < kHeads; ++h)
      parts[h] = _mm512_dpbf16_ps(parts[h], load_bf16(queries + h * dim + k, lanes), values);
  }
  for (int h = 0; h < kHeads; ++h) sums[h * kLanes] = reinterpret_cast<Lanes>(parts[h]);
}
#endif

// scores[h * stride + t] = query h · key t; what lies between `count` and `stride` has no meaning.
template <int kHeads, class T>
inline void score_keys(const T* queries, const float* wide, const T* keys, std::int64_t count,
                       std::int64_t dim, float* scores, std::int64_t stride) {
  for (std::int64_t first = 0; first < count; first += kLanes) {
    const std::int64_t tokens = count - first < kLanes ? count - first : kLanes;
    Lanes sums[kHeads][kLanes];
    if (tokens < kLanes) __builtin_memset(sums, 0, sizeof sums);
    for (std::int64_t t = 0; t < tokens; ++t)
      key_products<kHeads>(queries, wide, keys + (first + t) * dim, dim, sums[0] + t);
    for (int h = 0; h < kHeads; ++h) {
      sum_each(sums[h]);
      __builtin_memcpy(scores + h * stride + first, &sums[h][0], sizeof(Lanes));
    }
  }
}

// exp_of() of each lane.
inline void exp_lanes(Lanes& x) {
  typedef std::int32_t IntLanes __attribute__((vector_size(kLanes * sizeof(std::int32_t))));
  const IntLanes small = x < -87.0f;  // all bits of a lane, or none
  const Lanes clamped =
      reinterpret_cast<Lanes>((reinterpret_cast<IntLanes>(x) & ~small) |
                              (reinterpret_cast<IntLanes>(Lanes{} - 87.0f) & small));
  const IntLanes whole = __builtin_convertvector(clamped * 1.44269504f - 0.5f, IntLanes);
  const Lanes steps = __builtin_convertvector(whole, Lanes);
  const Lanes rest = (clamped - steps * 0.693359375f) + steps * 2.12194440e-4f;
  Lanes sum = rest * 1.9875691500e-4f + 1.3981999507e-3f;
  sum = sum * rest + 8.3334519073e-3f;
  sum = sum * rest + 4.1665795894e-2f;
  sum = sum * rest + 1.6666665459e-1f;
  sum = sum * rest + 5.0000001201e-1f;
  const Lanes fraction = sum * rest * rest + rest + 1.0f;
  const Lanes power = reinterpret_cast<Lanes>((whole + 127) << 23);
  x = reinterpret_cast<Lanes>(reinterpret_cast<IntLanes>(fraction * power) & ~small);
}

// scores[t] becomes the share of token t; those up to whole lanes become zero.
inline void softmax(float* scores, std::int64_t count, float scale, float softcap) {
  float largest = -__builtin_inff();
  for (std::int64_t t = 0; t < count; ++t) {
    scores[t] *= scale;
    if (softcap > 0.0f) scores[t] = softcap * tanh_of(scores[t] / softcap);
  }
#pragma omp simd reduction(max : largest)
  for (std::int64_t t = 0; t < count; ++t) largest = scores[t] > largest ? scores[t] : largest;
  for (std::int64_t t = count; t < in_whole_lanes(count); ++t) scores[t] = -__builtin_inff();
  Lanes sum = {};
  for (std::int64_t t = 0; t < count; t += kLanes) {
    Lanes lanes;
    __builtin_memcpy(&lanes, scores + t, sizeof lanes);
    lanes -= largest;
    exp_lanes(lanes);
    sum += lanes;
    __builtin_memcpy(scores + t, &lanes, sizeof lanes);
  }
  const float share = 1.0f / sum_of(sum);
#pragma omp simd
  for (std::int64_t t = 0; t < count; ++t) scores[t] *= share;
}

// Columns [first, first + kVectors * kLanes) of out, as far as the heads reach.
template <int kHeads, int kVectors, class T>
inline void mix_values(const T* values, std::int64_t count, std::int64_t dim, std::int64_t first,
                       const float* shares, std::int64_t stride, T* out) {
  Lanes mixed[kHeads][kVectors] = {};
  for (std::int64_t t = 0; t < count; ++t) {
    Lanes row[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t at = first + v * kLanes;
      load_some(values + t * dim + at, kVectors > 1 ? kLanes : dim - at, row[v]);
    }
    for (int h = 0; h < kHeads; ++h)
      for (int v = 0; v < kVectors; ++v) mixed[h][v] += shares[h * stride + t] * row[v];
  }
  for (int h = 0; h < kHeads; ++h)
    for (int v = 0; v < kVectors; ++v)
      for (std::int64_t k = 0, at = first + v * kLanes; k < kLanes && at + k < dim; ++k)
        out[h * dim + at + k] = from_float<T>(mixed[h][v][k]);
}

// kHeads heads from `pair` on, which read the same keys and values.
template <int kHeads, class T>
void attend_together(const AttentionStep& p, float* scratch, std::int64_t pair) {
  const std::int64_t seen = p.past + 1, dim = p.head_dim;
  const std::int64_t row = pair / p.heads;
  const std::int64_t kv_head = (pair % p.heads) / (p.heads / p.kv_heads);
  std::int64_t first = p.first_token[row];
  if (p.window > 0 && seen - p.window > first) first = seen - p.window;
  const std::int64_t start = ((row * p.kv_heads + kv_head) * p.capacity + first) * dim;
  const std::int64_t count = seen - first, stride = in_whole_lanes(count);

  const T* queries = static_cast<const T*>(p.query) + pair * dim;
  float* wide = scratch;
  for (int h = 0; h < kHeads; ++h)
    for (std::int64_t k = 0; k < in_whole_lanes(dim); ++k)
      wide[h * in_whole_lanes(dim) + k] = k < dim ? to_float(queries[h * dim + k]) : 0.0f;
  float* scores = scratch + kHeads * in_whole_lanes(dim);
  score_keys<kHeads>(queries, wide, static_cast<const T*>(p.keys) + start, count, dim, scores,
                     stride);
  for (int h = 0; h < kHeads; ++h) softmax(scores + h * stride, count, p.scale, p.softcap);

  const T* values = static_cast<const T*>(p.values) + start;
  T* out = static_cast<T*>(p.out) + pair * dim;
  std::int64_t at = 0;
  for (; at + kColumnVectors * kLanes <= dim; at += kColumnVectors * kLanes)
    mix_values<kHeads, kColumnVectors>(values, count, dim, at, scores, stride, out);
  for (; at < dim; at += kLanes) mix_values<kHeads, 1>(values, count, dim, at, scores, stride, out);
}

template <class T>
void attend(const AttentionStep& p, float* scratch, std::int64_t begin, std::int64_t end) {
  static_assert(kAttendHeads == 4);
  const std::int64_t group = p.heads / p.kv_heads;
  for (std::int64_t pair = begin; pair < end;) {
    const std::int64_t shared = group - pair % p.heads % group;
    const std::int64_t left = end - pair < shared ? end - pair : shared;
    switch (left) {
      case 1:
        attend_together<1, T>(p, scratch, pair);
        break;
      case 2:
        attend_together<2, T>(p, scratch, pair);
        break;
      case 3:
        attend_together<3, T>(p, scratch, pair);
        break;
      default:
        attend_together<4, T>(p, scratch, pair);
    }
    pair += left < kAttendHeads ? left : kAttendHeads;
  }
}

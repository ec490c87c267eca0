// The input of a product in pairs of bfloat16, chunk by chunk of its tokens. For AVX512-BF16.
#pragma once

#include "cpu/pair_codes.hpp"

namespace quanthost::gptq {
namespace {

inline __m512 dot(__m512 sum, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}

// The tokens [begin, end), whose rows lie together.
struct Chunk {
  std::int64_t begin, end;
};
inline Chunk chunk_of(const PairArgs& a, std::int64_t c) {
  return {a.product.batch * c / a.chunks, a.product.batch * (c + 1) / a.chunks};
}
inline Chunk chunk_with(const PairArgs& a, std::int64_t token) {
  const std::int64_t c = token * a.chunks / a.product.batch;
  const Chunk chunk = chunk_of(a, c);
  return token < chunk.end ? chunk : chunk_of(a, c + 1);
}
inline std::uint32_t* pairs_of(const PairArgs& a, const Run& run, const Chunk& chunk) {
  return a.pairs + (run.begin * a.rows + (run.end - run.begin) * chunk.begin * a.parts) * kPairs;
}
// Of the rows from a token on.
inline float* sums_of(const PairArgs& a, std::int64_t run, std::int64_t token) {
  return a.sums + run * a.rows + token * a.parts;
}

// 32 values in order become the sixteen pairs of a slab.
inline __m512i as_pairs(__m512i halves) {
  alignas(64) static constexpr std::uint16_t kOrder[32] = {
      0,  4,  1,  5,  2,  6,  3,  7,  8,  12, 9,  13, 10, 14, 11, 15,
      16, 20, 17, 21, 18, 22, 19, 23, 24, 28, 25, 29, 26, 30, 27, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), halves);
}

// Rows of one token in a run of its chunk, which has `stride` rows.
struct TokenRows {
  std::uint32_t* pairs;  // the first one
  std::int64_t stride;
};

constexpr std::int64_t kMostParts = 2;

// sums[part]: of a run, lane by lane.
inline void store_pairs(const TokenRows& to, std::int64_t slab, std::int64_t part, __m512i pairs,
                        __m512* sums) {
  const __m512i ones = _mm512_set1_epi32(0x3f803f80);
  _mm512_store_si512(to.pairs + (slab * to.stride + part) * kPairs, pairs);
  sums[part] = dot(sums[part], pairs, ones);
}
inline void stage_slab(const PairArgs& a, const TokenRows& to, std::int64_t slab, __m512 low,
                       __m512 high, __m512* sums) {
  for (std::int64_t part = 0; part < a.parts; ++part) {
    const __m512bh halves = _mm512_cvtne2ps_pbh(high, low);
    store_pairs(to, slab, part, as_pairs(reinterpret_cast<const __m512i&>(halves)), sums);
    const auto rounded = [](__m512 v) { return round_to<BFloat16>(Floats{v}).v; };
    low = _mm512_sub_ps(low, rounded(low));
    high = _mm512_sub_ps(high, rounded(high));
  }
}

template <typename T>
inline void stage_token(const PairArgs& a, std::int64_t token) {
  const Matrix& w = a.product.weight;
  const T* from = static_cast<const T*>(a.product.input) + token * w.inputs;
  const Chunk chunk = chunk_with(a, token);
  for (std::int64_t index = 0; index < a.run_count; ++index) {
    const Run& run = a.runs[index];
    const TokenRows to{pairs_of(a, run, chunk) + (token - chunk.begin) * a.parts * kPairs,
                       (chunk.end - chunk.begin) * a.parts};
    __m512 sums[kMostParts] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (std::int64_t slab = run.begin; slab < run.end; ++slab) {
      const std::int64_t k = slab * kSlab, count = smaller(kSlab, w.inputs - k);
      if (!w.input_order && count == kSlab) {
        if constexpr (std::is_same_v<T, BFloat16>)
          store_pairs(to, slab - run.begin, 0, as_pairs(_mm512_loadu_si512(from + k)), sums);
        else
          stage_slab(a, to, slab - run.begin, load(from + k).v, load(from + k + 16).v, sums);
        continue;
      }
      alignas(64) float values[kSlab] = {};
      for (std::int64_t i = 0; i < count; ++i)
        values[i] = to_float(from[w.input_order ? w.input_order[k + i] : k + i]);
      stage_slab(a, to, slab - run.begin, load(values).v, load(values + 16).v, sums);
    }
    for (std::int64_t part = 0; part < a.parts; ++part)
      sums_of(a, index, token)[part] = _mm512_reduce_add_ps(sums[part]);
  }
}

inline void stage_tokens(const PairArgs& a, std::int64_t begin, std::int64_t end) {
  with_type(a.product.type, [&](auto tag) {
    for (std::int64_t t = begin; t < end; ++t) stage_token<decltype(tag)>(a, t);
  });
}

}  // namespace
}  // namespace quanthost::gptq

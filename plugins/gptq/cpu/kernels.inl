// Dequantization and products, once for all instruction sets. Included by each one's file.
#pragma once

#include <cstring>
#include <quanthost/cpu/simd.hpp>

#include "cpu/hessian.inl"
#include "cpu/kernels.hpp"
#include "cpu/typed.hpp"
#include "format.hpp"

namespace quanthost::gptq {
namespace {

using namespace quanthost::cpu;

inline std::int64_t input_of(const Matrix& w, std::int64_t row) {
  return w.input_order ? w.input_order[row] : row;
}

// A slab of a strip in float32; columns past the last output hold anything finite.
struct Panel {
  alignas(64) float values[kSlab][kStrip];
};

// Scales and zeros of one group in a strip; kept while rows stay in the group.
struct StripGroup {
  std::int64_t group = -1;
  alignas(64) float scales[kStrip] = {};
  alignas(64) float zeros[kStrip] = {};

  void load_group(const Matrix& w, std::int64_t wanted, std::int64_t first, std::int64_t count) {
    if (wanted == group) return;
    group = wanted;
    with_type(w.scale_type, [&](auto tag) {
      const auto* from = static_cast<const decltype(tag)*>(w.scales) + group * w.outputs + first;
      for (std::int64_t n = 0; n < count; ++n) scales[n] = to_float(from[n]);
    });
    const std::int64_t words = w.outputs / 32 * w.bits + ceil_div(w.outputs % 32 * w.bits, 32);
    for (std::int64_t n = 0; n < count; ++n)
      zeros[n] = static_cast<float>(code_at(w.qzeros + group * words, 1, first + n, w.bits));
  }
};

inline Ints load_words(const std::uint32_t* words, std::int64_t count) {
  alignas(64) float raw[kLanes] = {};
  if (count >= kLanes)
    std::memcpy(raw, words, sizeof(raw));
  else if (count > 0)
    std::memcpy(raw, words, static_cast<std::size_t>(count) * sizeof(float));
  return bits(load(raw));
}

// Decodes the rows of `slab` for the outputs [first, first + count); returns how many rows it has.
inline std::int64_t decode(const Matrix& w, std::int64_t slab, std::int64_t first,
                           std::int64_t count, StripGroup& group, Panel& panel) {
  const std::int64_t rows = smaller(kSlab, w.inputs - slab * kSlab);
  const Ints mask = ints(largest_code(w.bits));
  for (std::int64_t r = 0; r < rows; ++r) {
    group.load_group(w, w.g_idx[slab * kSlab + r], first, count);
    const auto bit = static_cast<int>(r) * w.bits;
    const std::uint32_t* words = w.qweight + (slab * w.bits + bit / 32) * w.outputs + first;
    const int shift = bit % 32;
    for (std::int64_t n = 0; n < count; n += kLanes) {
      Ints code = shift_right(load_words(words + n, count - n), shift);
      if (shift + w.bits > 32)
        code = code | shift_left(load_words(words + w.outputs + n, count - n), 32 - shift);
      const Floats steps = to_floats(code & mask) - load(group.zeros + n);
      store(panel.values[r] + n, load(group.scales + n) * steps);
    }
  }
  return rows;
}

inline void dequantize_slabs(const Matrix& w, FloatType out_type, void* out, std::int64_t begin,
                             std::int64_t end) {
  Panel panel;
  for (std::int64_t slab = begin; slab < end; ++slab)
    for (std::int64_t first = 0; first < w.outputs; first += kStrip) {
      const std::int64_t count = smaller(kStrip, w.outputs - first);
      StripGroup group;
      const std::int64_t rows = decode(w, slab, first, count, group, panel);
      with_type(w.scale_type, [&](auto scale_tag) {
        with_type(out_type, [&](auto out_tag) {
          using Scale = decltype(scale_tag);
          using Out = decltype(out_tag);
          for (std::int64_t r = 0; r < rows; ++r) {
            Out* to = static_cast<Out*>(out) + input_of(w, slab * kSlab + r) * w.outputs + first;
            for (std::int64_t n = 0; n < count; ++n)
              to[n] = from_float<Out>(to_float(from_float<Scale>(panel.values[r][n])));
          }
        });
      });
    }
}

inline void stage_forward_rows(const ProductArgs& a, std::int64_t begin, std::int64_t end) {
  with_type(a.type, [&](auto tag) {
    for (std::int64_t t = begin; t < end; ++t) {
      const auto* from = static_cast<const decltype(tag)*>(a.input) + t * a.weight.inputs;
      float* to = a.staged + t * a.weight.inputs;
      for (std::int64_t k = 0; k < a.weight.inputs; ++k)
        to[k] = to_float(from[input_of(a.weight, k)]);
    }
  });
}

// sums[t][...] += x[t][r] * panel[r][...] for kTokens tokens, r in order.
template <int kTokens>
inline void multiply(const Panel& panel, std::int64_t rows, const float* x, std::int64_t x_stride,
                     float (*sums)[kStrip]) {
  constexpr int kVectors = kLanes == 1 ? 1 : 2;
  for (std::int64_t n = 0; n < kStrip; n += kVectors * kLanes) {
    Floats acc[kTokens][kVectors];
    for (int t = 0; t < kTokens; ++t)
      for (int v = 0; v < kVectors; ++v) acc[t][v] = load(sums[t] + n + v * kLanes);
    for (std::int64_t r = 0; r < rows; ++r) {
      Floats w[kVectors];
      for (int v = 0; v < kVectors; ++v) w[v] = load(panel.values[r] + n + v * kLanes);
      for (int t = 0; t < kTokens; ++t)
        for (int v = 0; v < kVectors; ++v)
          acc[t][v] = fma(floats(x[t * x_stride + r]), w[v], acc[t][v]);
    }
    for (int t = 0; t < kTokens; ++t)
      for (int v = 0; v < kVectors; ++v) store(sums[t] + n + v * kLanes, acc[t][v]);
  }
}

inline void write_strip(const ProductArgs& a, std::int64_t token, std::int64_t first,
                        std::int64_t count, float* sums) {
  if (a.bias)
    with_type(a.bias_type, [&](auto tag) {
      const auto* bias = static_cast<const decltype(tag)*>(a.bias) + first;
      for (std::int64_t n = 0; n < count; ++n) sums[n] += to_float(bias[n]);
    });
  with_type(a.type, [&](auto tag) {
    using T = decltype(tag);
    T* to = static_cast<T*>(a.output) + token * a.weight.outputs + first;
    for (std::int64_t n = 0; n < count; ++n) to[n] = from_float<T>(sums[n]);
  });
}

inline void forward_strips(const ProductArgs& a, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kTokens = 64;  // 16 KiB of sums
  const Matrix& w = a.weight;
  Panel panel{};
  alignas(64) float sums[kTokens][kStrip];
  for (std::int64_t strip = begin; strip < end; ++strip)
    for (std::int64_t first_token = 0; first_token < a.batch; first_token += kTokens) {
      const std::int64_t first = strip * kStrip, count = smaller(kStrip, w.outputs - first);
      const std::int64_t tokens = smaller(kTokens, a.batch - first_token);
      std::memset(sums, 0, sizeof(sums));
      StripGroup group;
      for (std::int64_t slab = 0; slab * kSlab < w.inputs; ++slab) {
        const std::int64_t rows = decode(w, slab, first, count, group, panel);
        const float* x = a.staged + first_token * w.inputs + slab * kSlab;
        std::int64_t t = 0;
        for (; t + 4 <= tokens; t += 4)
          multiply<4>(panel, rows, x + t * w.inputs, w.inputs, sums + t);
        for (; t < tokens; ++t) multiply<1>(panel, rows, x + t * w.inputs, w.inputs, sums + t);
      }
      for (std::int64_t t = 0; t < tokens; ++t)
        write_strip(a, first_token + t, first, count, sums[t]);
    }
}

inline void stage_backward_rows(const ProductArgs& a, std::int64_t begin, std::int64_t end) {
  with_type(a.type, [&](auto tag) {
    const auto* from = static_cast<const decltype(tag)*>(a.input);
    for (std::int64_t i = begin * a.weight.outputs; i < end * a.weight.outputs; ++i)
      a.staged[i] = to_float(from[i]);
  });
}

// The product of a decoded row's strip with a gradient.
inline float dot(const float* row, const float* gradient, std::int64_t count) {
  Floats total = floats(0.0f);
  std::int64_t n = 0;
  for (; n + kLanes <= count; n += kLanes) total = fma(load(row + n), load(gradient + n), total);
  if (n < count)
    total = fma(load_n(row + n, static_cast<int>(count - n)),
                load_n(gradient + n, static_cast<int>(count - n)), total);
  return sum(total);
}

inline void backward_slabs(const ProductArgs& a, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kTokens = 64;
  const Matrix& w = a.weight;
  Panel panel{};
  float sums[kTokens][kSlab];
  for (std::int64_t slab = begin; slab < end; ++slab)
    for (std::int64_t first_token = 0; first_token < a.batch; first_token += kTokens) {
      const std::int64_t tokens = smaller(kTokens, a.batch - first_token);
      std::int64_t rows = 0;
      std::memset(sums, 0, sizeof(sums));
      for (std::int64_t first = 0; first < w.outputs; first += kStrip) {
        const std::int64_t count = smaller(kStrip, w.outputs - first);
        StripGroup group;
        rows = decode(w, slab, first, count, group, panel);
        for (std::int64_t t = 0; t < tokens; ++t)
          for (std::int64_t r = 0; r < rows; ++r)
            sums[t][r] +=
                dot(panel.values[r], a.staged + (first_token + t) * w.outputs + first, count);
      }
      with_type(a.type, [&](auto tag) {
        using T = decltype(tag);
        for (std::int64_t t = 0; t < tokens; ++t)
          for (std::int64_t r = 0; r < rows; ++r)
            static_cast<T*>(
                a.output)[(first_token + t) * w.inputs + input_of(w, slab * kSlab + r)] =
                from_float<T>(sums[t][r]);
      });
    }
}

inline constexpr Kernels table_for(Isa isa) {
  return {isa,
          dequantize_slabs,
          stage_forward_rows,
          forward_strips,
          stage_backward_rows,
          backward_slabs,
          &kHessianProduct<FloatProducts>};
}

}  // namespace
}  // namespace quanthost::gptq

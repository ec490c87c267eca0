// y = x · Wᵀ for a few tokens: each output is a dot product over a stream of packed bytes that is
// read once.
//
// Weights stay codes inside a group: y = Σ_groups scale · (Σ code · x) − shift · Σ x.
#pragma once

#include "cpu/decode.inl"

namespace quanthost::quanto {
namespace {

inline constexpr int kDotTokens = 4;  // handled at once
inline constexpr int kDotRows = 4;    // 8-bit outputs handled at once

// With v values a byte and v dividing the outputs, one stream of bytes holds v outputs.
inline bool streams_are_whole(const LinearArgs& a) {
  return a.weight.packed && a.outputs % a.weight.per_byte() == 0;
}
inline int dot_planes(const LinearArgs& a) {
  if (!is_affine(a.weight.qtype)) return kDotRows;
  return streams_are_whole(a) ? a.weight.per_byte() : 1;
}

inline std::int64_t dot_staged_bytes(const LinearArgs& a) {
  return a.tokens * (a.inputs + a.groups) * static_cast<std::int64_t>(sizeof(float));
}
inline float* dot_x(const LinearArgs& a) { return static_cast<float*>(a.staged); }
inline float* dot_x_sums(const LinearArgs& a) { return dot_x(a) + a.tokens * a.inputs; }

inline void dot_stage(const LinearArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t t = begin; t < end; ++t) {
    float* x = dot_x(a) + t * a.inputs;
    stage_floats(a, t, a.inputs, x);
    for (std::int64_t g = 0; g < a.groups; ++g) {
      Floats total = floats(0.0f);
      for_each_vector(a.weight.columns, [&](std::int64_t i, int n) {
        total = total + load_part(x + g * a.weight.columns + i, n);
      });
      dot_x_sums(a)[t * a.groups + g] = sum(total);
    }
  }
}

// One stream, or kPlanes rows of 8 bits: where its bytes are and which output each plane is.
struct DotItem {
  const std::uint8_t* bytes[kDotRows];
  std::int64_t output[kDotRows];
  int bit_offset[kDotRows];
};

// What a code is worth before scale and shift.
template <QType kQ>
inline Floats code_value(const std::uint8_t* bytes, int n, int bit_offset, Ints shared) {
  if constexpr (kQ == QType::int8) return to_floats(load_i8_part(bytes, n));
  if constexpr (is_float8(kQ)) return decode_float8(load_u8_part(bytes, n), float8_format(kQ));
  return to_floats(shift_right(shared, bit_offset) & ints((1 << bit_width(kQ)) - 1));
}

template <typename T, QType kQ, int kTokens, int kPlanes>
inline void dot_item(const LinearArgs& a, const DotItem& item, std::int64_t first_token) {
  const Matrix& m = a.weight;
  const float* x = dot_x(a) + first_token * a.inputs;
  Floats total[kPlanes][kTokens];
  float shifted[kPlanes][kTokens];
  for (int p = 0; p < kPlanes; ++p)
    for (int t = 0; t < kTokens; ++t) {
      total[p][t] = floats(0.0f);
      shifted[p][t] = 0.0f;
    }
  for (std::int64_t g = 0; g < a.groups; ++g) {
    Floats raw[kPlanes][kTokens];
    for (int p = 0; p < kPlanes; ++p)
      for (int t = 0; t < kTokens; ++t) raw[p][t] = floats(0.0f);
    // A group of an output that shares no stream lies wherever its row went.
    const Piece piece =
        kPlanes == 1 ? find_piece(a, item.output[0], g * m.columns, a.inputs) : Piece{};
    const std::int64_t base = g * m.columns;
    const auto step = [&](std::int64_t i, int n) {
      const std::uint8_t* stream = kPlanes == 1 ? piece.bytes + i : item.bytes[0] + base + i;
      const Ints shared = is_affine(kQ) ? load_u8_part(stream, n) : ints(0);
      Floats w[kPlanes];
      for (int p = 0; p < kPlanes; ++p)
        w[p] = code_value<kQ>(item.bytes[p] + base + i, n,
                              kPlanes == 1 ? piece.bit_offset : p * bit_width(kQ), shared);
      for (int t = 0; t < kTokens; ++t) {
        const Floats xv = load_part(x + t * a.inputs + base + i, n);
        for (int p = 0; p < kPlanes; ++p) raw[p][t] = fma(w[p], xv, raw[p][t]);
      }
    };
    std::int64_t i = 0;
    for (; i + kLanes <= m.columns; i += kLanes) step(i, kLanes);
    if (i < m.columns) step(i, static_cast<int>(m.columns - i));
    for (int p = 0; p < kPlanes; ++p) {
      if constexpr (!is_affine(kQ)) {
        for (int t = 0; t < kTokens; ++t) total[p][t] = raw[p][t];
      } else {
        const std::int64_t row = item.output[p] * a.groups + g;
        const float scale = scale_value<T>(m, row), shift = shift_value<T>(m, row);
        for (int t = 0; t < kTokens; ++t) {
          total[p][t] = fma(floats(scale), raw[p][t], total[p][t]);
          shifted[p][t] += (m.integer_shift ? scale * shift : shift) *
                           dot_x_sums(a)[(first_token + t) * a.groups + g];
        }
      }
    }
  }
  for (int p = 0; p < kPlanes; ++p)
    for (int t = 0; t < kTokens; ++t)
      write_output(a, first_token + t, item.output[p],
                   (sum(total[p][t]) - shifted[p][t]) * output_scale(a, item.output[p]));
}

template <typename T, QType kQ, int kPlanes>
inline void dot_tokens(const LinearArgs& a, const DotItem& item) {
  std::int64_t t = 0;
  for (; t + kDotTokens <= a.tokens; t += kDotTokens)
    dot_item<T, kQ, kDotTokens, kPlanes>(a, item, t);
  switch (a.tokens - t) {
    case 3:
      return dot_item<T, kQ, 3, kPlanes>(a, item, t);
    case 2:
      return dot_item<T, kQ, 2, kPlanes>(a, item, t);
    case 1:
      return dot_item<T, kQ, 1, kPlanes>(a, item, t);
    default:
      return;
  }
}

inline std::int64_t dot_items(const LinearArgs& a) { return ceil_div(a.outputs, dot_planes(a)); }

template <typename T, QType kQ>
inline void dot_run_type(const LinearArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t streams = dot_items(a);
  for (std::int64_t s = begin; s < end; ++s) {
    DotItem item{};
    if constexpr (!is_affine(kQ)) {
      // The last rows are done one by one when four do not divide the outputs.
      const std::int64_t first = s * kDotRows;
      const bool whole = first + kDotRows <= a.outputs;
      for (std::int64_t o = first; o < first + kDotRows && o < a.outputs; ++o) {
        const int slot = whole ? static_cast<int>(o - first) : 0;
        item.bytes[slot] = a.weight.data + o * a.inputs;
        item.output[slot] = o;
        if (!whole) dot_tokens<T, kQ, 1>(a, item);
      }
      if (whole) dot_tokens<T, kQ, kDotRows>(a, item);
    } else if (streams_are_whole(a)) {
      constexpr int kPlanes = values_per_byte(kQ);
      for (int p = 0; p < kPlanes; ++p) {
        item.bytes[p] = a.weight.data + s * a.inputs;
        item.output[p] = p * streams + s;
      }
      dot_tokens<T, kQ, kPlanes>(a, item);
    } else {
      item.output[0] = s;
      item.bytes[0] = a.weight.data;
      dot_tokens<T, kQ, 1>(a, item);
    }
  }
}

inline void dot_run(const LinearArgs& a, std::int64_t begin, std::int64_t end, void*) {
  with_type(a.weight.dtype, [&](auto tag) {
    using T = decltype(tag);
    switch (a.weight.qtype) {
      case QType::int2:
        return dot_run_type<T, QType::int2>(a, begin, end);
      case QType::int4:
        return dot_run_type<T, QType::int4>(a, begin, end);
      case QType::int8:
        return dot_run_type<T, QType::int8>(a, begin, end);
      case QType::float8_e4m3fn:
        return dot_run_type<T, QType::float8_e4m3fn>(a, begin, end);
      case QType::float8_e4m3fnuz:
        return dot_run_type<T, QType::float8_e4m3fnuz>(a, begin, end);
      case QType::float8_e5m2:
        return dot_run_type<T, QType::float8_e5m2>(a, begin, end);
    }
  });
}

inline const LinearPath kDotPath = {
    "dot",     dot_staged_bytes, [](const LinearArgs& a) { return a.tokens; },
    dot_stage, dot_items,        [](const LinearArgs&) -> std::int64_t { return 0; },
    dot_run};

}  // namespace
}  // namespace quanthost::quanto

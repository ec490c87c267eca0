// y = x · Wᵀ for many tokens in float32: sixteen outputs at a time are decoded into a panel, and
// each value of the panel multiplies a vector of tokens.
#pragma once

#include "cpu/decode.inl"

namespace quanthost::quanto {
namespace {

inline constexpr std::int64_t kPanelRows = 16;
inline constexpr std::int64_t kPanelColumns = 1024;  // 64 KiB of panel
inline constexpr std::int64_t kPanelTokens = 256;    // 16 KiB of sums
inline constexpr int kTileRows = kLanes == 16 ? 8 : 4;

inline std::int64_t token_tiles(const LinearArgs& a) { return ceil_div(a.tokens, kLanes); }
// Staged x: [tile][column][lane], so that a vector holds one column of kLanes tokens.
inline std::int64_t panel_staged_bytes(const LinearArgs& a) {
  return token_tiles(a) * kLanes * a.inputs * static_cast<std::int64_t>(sizeof(float));
}
inline void panel_stage(const LinearArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t tile = begin; tile < end; ++tile) {
    float* to = static_cast<float*>(a.staged) + tile * kLanes * a.inputs;
    for (int lane = 0; lane < kLanes; ++lane) {
      const std::int64_t token = tile * kLanes + lane;
      with_type(a.x_dtype, [&](auto tag) {
        const auto* from = static_cast<const decltype(tag)*>(a.x) + token * a.inputs;
        for (std::int64_t k = 0; k < a.inputs; ++k)
          to[k * kLanes + lane] = token < a.tokens ? to_float(from[k]) : 0.0f;
      });
    }
  }
}

// sums[tile][row][lane] += panel[row][k] * x[tile][k][lane] for kTileRows rows and kTiles tiles.
template <int kTiles>
inline void panel_multiply(const float* panel, std::int64_t columns, const float* const* x,
                           float* sums) {
  Floats acc[kTileRows][kTiles];
  for (int r = 0; r < kTileRows; ++r)
    for (int t = 0; t < kTiles; ++t) acc[r][t] = load(sums + (t * kPanelRows + r) * kLanes);
  for (std::int64_t k = 0; k < columns; ++k) {
    Floats xv[kTiles];
    for (int t = 0; t < kTiles; ++t) xv[t] = load(x[t] + k * kLanes);
    for (int r = 0; r < kTileRows; ++r) {
      const Floats w = floats(panel[r * kPanelColumns + k]);
      for (int t = 0; t < kTiles; ++t) acc[r][t] = fma(w, xv[t], acc[r][t]);
    }
  }
  for (int r = 0; r < kTileRows; ++r)
    for (int t = 0; t < kTiles; ++t) store(sums + (t * kPanelRows + r) * kLanes, acc[r][t]);
}

struct PanelScratch {
  float* panel;  // [kPanelRows][kPanelColumns]
  float* sums;   // [tile][kPanelRows][kLanes]
};
inline std::int64_t panel_scratch_bytes(const LinearArgs&) {
  return kPanelRows * (kPanelColumns + kPanelTokens) * static_cast<std::int64_t>(sizeof(float));
}

inline void panel_block(const LinearArgs& a, std::int64_t first_output, std::int64_t first_tile,
                        std::int64_t tiles, const PanelScratch& s) {
  const std::int64_t outputs =
      a.outputs - first_output < kPanelRows ? a.outputs - first_output : kPanelRows;
  std::memset(s.sums, 0, static_cast<std::size_t>(tiles * kPanelRows * kLanes) * sizeof(float));
  for (std::int64_t k = 0; k < a.inputs; k += kPanelColumns) {
    const std::int64_t columns = a.inputs - k < kPanelColumns ? a.inputs - k : kPanelColumns;
    for (std::int64_t r = 0; r < kPanelRows; ++r) {
      float* row = s.panel + r * kPanelColumns;
      if (r < outputs)
        decode_columns(a, first_output + r, k, k + columns, row);
      else
        std::memset(row, 0, static_cast<std::size_t>(columns) * sizeof(float));
    }
    const float* x = static_cast<const float*>(a.staged) + k * kLanes;
    const std::int64_t tile_size = kLanes * a.inputs;
    for (std::int64_t r = 0; r < kPanelRows; r += kTileRows) {
      std::int64_t t = 0;
      for (; t + 2 <= tiles; t += 2) {
        const float* const two[] = {x + (first_tile + t) * tile_size,
                                    x + (first_tile + t + 1) * tile_size};
        panel_multiply<2>(s.panel + r * kPanelColumns, columns, two,
                          s.sums + (t * kPanelRows + r) * kLanes);
      }
      if (t < tiles) {
        const float* const one[] = {x + (first_tile + t) * tile_size};
        panel_multiply<1>(s.panel + r * kPanelColumns, columns, one,
                          s.sums + (t * kPanelRows + r) * kLanes);
      }
    }
  }
  float scales[kPanelRows], values[kPanelRows];
  for (std::int64_t r = 0; r < outputs; ++r) scales[r] = output_scale(a, first_output + r);
  for (std::int64_t t = 0; t < tiles * kLanes; ++t) {
    const std::int64_t token = first_tile * kLanes + t;
    if (token >= a.tokens) break;
    const float* sums = s.sums + (t / kLanes) * kPanelRows * kLanes + t % kLanes;
    for (std::int64_t r = 0; r < outputs; ++r) values[r] = sums[r * kLanes] * scales[r];
    write_outputs(a, token, first_output, outputs, values);
  }
}

inline void panel_run(const LinearArgs& a, std::int64_t begin, std::int64_t end, void* scratch) {
  auto* memory = static_cast<float*>(scratch);
  const PanelScratch s{memory, memory + kPanelRows * kPanelColumns};
  const std::int64_t at_once = kPanelTokens / kLanes;
  for (std::int64_t block = begin; block < end; ++block)
    for (std::int64_t tile = 0; tile < token_tiles(a); tile += at_once) {
      const std::int64_t left = token_tiles(a) - tile;
      panel_block(a, block * kPanelRows, tile, left < at_once ? left : at_once, s);
    }
}

inline const LinearPath kPanelPath = {
    "panel",
    panel_staged_bytes,
    token_tiles,
    panel_stage,
    [](const LinearArgs& a) { return ceil_div(a.outputs, kPanelRows); },
    panel_scratch_bytes,
    panel_run};

// grad_x = grad_y · W. Items are strips of 64 columns; a.x is grad_y, a.y is grad_x.
inline constexpr std::int64_t kStrip = 64;
inline constexpr int kGradTokens = 4;

inline std::int64_t grad_staged_bytes(const LinearArgs& a) {
  return a.tokens * a.outputs * static_cast<std::int64_t>(sizeof(float));
}
// Staged grad_y carries the output's scale, which the weights then do not need.
inline void grad_stage(const LinearArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t t = begin; t < end; ++t) {
    float* row = static_cast<float*>(a.staged) + t * a.outputs;
    stage_floats(a, t, a.outputs, row);
    if (!is_affine(a.weight.qtype))
      for (std::int64_t o = 0; o < a.outputs; ++o) row[o] *= output_scale(a, o);
  }
}
template <int kTokens>
inline void grad_strip(const LinearArgs& a, std::int64_t token, std::int64_t column,
                       std::int64_t columns) {
  alignas(64) float weights[kStrip] = {};
  alignas(64) float sums[kTokens][kStrip] = {};
  const float* grad = static_cast<const float*>(a.staged) + token * a.outputs;
  for (std::int64_t o = 0; o < a.outputs; ++o) {
    decode_columns(a, o, column, column + columns, weights);
    for (int t = 0; t < kTokens; ++t) {
      const Floats g = floats(grad[t * a.outputs + o]);
      for (std::int64_t k = 0; k < kStrip; k += kLanes)
        store(sums[t] + k, fma(g, load(weights + k), load(sums[t] + k)));
    }
  }
  with_type(a.x_dtype, [&](auto tag) {
    using T = decltype(tag);
    for (int t = 0; t < kTokens; ++t) {
      T* to = static_cast<T*>(a.y) + (token + t) * a.inputs + column;
      for (std::int64_t k = 0; k < columns; ++k) to[k] = from_float<T>(sums[t][k]);
    }
  });
}
inline void grad_run(const LinearArgs& a, std::int64_t begin, std::int64_t end, void*) {
  for (std::int64_t strip = begin; strip < end; ++strip) {
    const std::int64_t column = strip * kStrip;
    const std::int64_t columns = a.inputs - column < kStrip ? a.inputs - column : kStrip;
    std::int64_t t = 0;
    for (; t + 16 <= a.tokens; t += 16) grad_strip<16>(a, t, column, columns);
    for (; t + kGradTokens <= a.tokens; t += kGradTokens)
      grad_strip<kGradTokens>(a, t, column, columns);
    for (; t < a.tokens; ++t) grad_strip<1>(a, t, column, columns);
  }
}

inline const LinearPath kBackwardPath = {
    "backward",
    grad_staged_bytes,
    [](const LinearArgs& a) { return a.tokens; },
    grad_stage,
    [](const LinearArgs& a) { return ceil_div(a.inputs, kStrip); },
    [](const LinearArgs&) -> std::int64_t { return 0; },
    grad_run};

}  // namespace
}  // namespace quanthost::quanto

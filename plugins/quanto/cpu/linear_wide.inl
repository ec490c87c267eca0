// y = x · Wᵀ for many tokens in narrow types: 32 outputs at a time are written into a panel as rows
// of bfloat16 or int8, and each 64-byte step of two panels multiplies a step of sixteen tokens.
// AVX-512 and AMX differ in `Unit` alone.
#pragma once

#include "cpu/decode.inl"

namespace quanthost::quanto {
namespace {

inline constexpr std::int64_t kWideRows = 32;
inline constexpr std::int64_t kWideTokens = 16;  // of a tile
inline constexpr std::int64_t kStepBytes = 64;   // of a panel row
inline constexpr std::int64_t kStepSize =
    1024;  // bytes of x for a step: [4-byte word][token][4 bytes]
inline constexpr std::int64_t kWideSteps = 32;                              // of a panel
inline constexpr std::int64_t kPanelStride = kWideSteps * kStepBytes + 64;  // off the power of two
inline constexpr std::int64_t kWideTiles = 16;  // at once: 32 KiB of sums

// Unit: Element of x and of the panel (2 or 1 bytes), Sum (float or int32), fill(), multiply(),
// begin(), end().
template <typename Unit>
inline constexpr std::int64_t kStepColumns =
    kStepBytes / static_cast<std::int64_t>(sizeof(typename Unit::Element));
template <typename Unit>
inline std::int64_t wide_steps(const LinearArgs& a) {
  return ceil_div(a.inputs, kStepColumns<Unit>);
}
inline std::int64_t wide_tiles(const LinearArgs& a) { return ceil_div(a.tokens, kWideTokens); }

template <typename Unit>
inline std::int64_t wide_staged_bytes(const LinearArgs& a) {
  return wide_tiles(a) * wide_steps<Unit>(a) * kStepSize;
}

// Staged x: [tile][step][word][token], each word four bytes of consecutive columns; zero beyond
// tokens and columns.
template <typename Unit>
inline void wide_stage(const LinearArgs& a, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kElement = sizeof(typename Unit::Element);
  const std::int64_t row_bytes = a.inputs * kElement, whole_words = row_bytes / 4;
  const std::int64_t words = wide_steps<Unit>(a) * (kStepBytes / 4);
  for (std::int64_t tile = begin; tile < end; ++tile) {
    auto* to = static_cast<std::uint32_t*>(a.staged) + tile * wide_steps<Unit>(a) * (kStepSize / 4);
    for (std::int64_t word = 0; word < words; word += 16)
      for (std::int64_t lane = 0; lane < kWideTokens; ++lane) {
        const std::int64_t token = tile * kWideTokens + lane;
        const char* from = static_cast<const char*>(a.x) + token * row_bytes;
        for (std::int64_t w = word; w < word + 16; ++w) {
          std::uint32_t bits = 0;
          if (token < a.tokens && w < whole_words)
            std::memcpy(&bits, from + w * 4, 4);
          else if (token < a.tokens && w * 4 < row_bytes)
            std::memcpy(&bits, from + w * 4, static_cast<std::size_t>(row_bytes - w * 4));
          to[w * kWideTokens + lane] = Unit::staged(bits);
        }
      }
  }
}

template <typename Unit>
struct WideScratch {
  std::uint8_t* panel;       // [kWideRows][kPanelStride]
  typename Unit::Sum* sums;  // [tile][kWideRows][kWideTokens]
};
inline std::int64_t wide_scratch_bytes(const LinearArgs&) {
  return kWideRows * kPanelStride + kWideTiles * kWideRows * kWideTokens * 4;
}

template <typename Unit>
inline void wide_fill(const LinearArgs& a, std::int64_t output, std::int64_t column,
                      std::int64_t steps, std::uint8_t* row) {
  auto* to = reinterpret_cast<typename Unit::Element*>(row);
  const std::int64_t wanted = steps * kStepColumns<Unit>, left = a.inputs - column;
  const std::int64_t columns = output < a.outputs ? (left < wanted ? left : wanted) : 0;
  if (columns > 0) Unit::fill(a, output, column, column + columns, to);
  std::memset(to + columns, 0, static_cast<std::size_t>(wanted - columns) * sizeof(*to));
}

template <typename Unit>
inline void wide_block(const LinearArgs& a, std::int64_t first_output, std::int64_t first_tile,
                       std::int64_t tiles, const WideScratch<Unit>& s) {
  constexpr std::int64_t kTileSums = kWideRows * kWideTokens;
  const std::int64_t all_steps = wide_steps<Unit>(a);
  std::memset(s.sums, 0, static_cast<std::size_t>(tiles * kTileSums) * 4);
  for (std::int64_t step = 0; step < all_steps; step += kWideSteps) {
    const std::int64_t steps = all_steps - step < kWideSteps ? all_steps - step : kWideSteps;
    for (std::int64_t r = 0; r < kWideRows; ++r)
      wide_fill<Unit>(a, first_output + r, step * kStepColumns<Unit>, steps,
                      s.panel + r * kPanelStride);
    const auto* x = static_cast<const std::uint8_t*>(a.staged) + step * kStepSize;
    for (std::int64_t t = 0; t < tiles; t += 2) {
      const std::uint8_t* tile = x + (first_tile + t) * all_steps * kStepSize;
      Unit::multiply(s.panel, steps, tile, t + 1 < tiles ? tile + all_steps * kStepSize : nullptr,
                     s.sums + t * kTileSums);
    }
  }
  const std::int64_t outputs =
      a.outputs - first_output < kWideRows ? a.outputs - first_output : kWideRows;
  float scales[kWideRows], values[kWideRows];
  typename Unit::Sum corrections[kWideRows];
  for (std::int64_t r = 0; r < outputs; ++r) {
    scales[r] = output_scale(a, first_output + r);
    corrections[r] = Unit::correction(a, first_output + r);
  }
  for (std::int64_t t = 0; t < tiles * kWideTokens; ++t) {
    const std::int64_t token = first_tile * kWideTokens + t;
    if (token >= a.tokens) break;
    const auto* sums = s.sums + (t / kWideTokens) * kTileSums + t % kWideTokens;
    for (std::int64_t r = 0; r < outputs; ++r)
      values[r] = static_cast<float>(sums[r * kWideTokens] - corrections[r]) * scales[r];
    write_outputs(a, token, first_output, outputs, values);
  }
}

template <typename Unit>
inline void wide_run(const LinearArgs& a, std::int64_t begin, std::int64_t end, void* scratch) {
  auto* memory = static_cast<std::uint8_t*>(scratch);
  const WideScratch<Unit> s{
      memory, reinterpret_cast<typename Unit::Sum*>(memory + kWideRows * kPanelStride)};
  [[maybe_unused]] const typename Unit::Session session;
  for (std::int64_t block = begin; block < end; ++block)
    for (std::int64_t tile = 0; tile < wide_tiles(a); tile += kWideTiles) {
      const std::int64_t left = wide_tiles(a) - tile;
      wide_block<Unit>(a, block * kWideRows, tile, left < kWideTiles ? left : kWideTiles, s);
    }
}

template <typename Unit>
inline const LinearPath kWidePath = {
    Unit::kName,
    wide_staged_bytes<Unit>,
    wide_tiles,
    wide_stage<Unit>,
    [](const LinearArgs& a) { return ceil_div(a.outputs, kWideRows); },
    wide_scratch_bytes,
    wide_run<Unit>};

struct NoSession {};

// The rows of an int8 panel are the weight's own bytes.
struct Int8Rows {
  using Element = std::int8_t;
  using Sum = std::int32_t;
  static void fill(const LinearArgs& a, std::int64_t output, std::int64_t begin, std::int64_t end,
                   std::int8_t* to) {
    std::memcpy(to, a.weight.data + output * a.inputs + begin,
                static_cast<std::size_t>(end - begin));
  }
};

}  // namespace
}  // namespace quanthost::quanto

// The solver's loops, once for all instruction sets. Included by each one's file.
#pragma once

#include <quanthost/cpu/simd.hpp>

#include "algorithm/row_kernels.hpp"

namespace quanthost::gptq {
namespace {

using namespace quanthost::cpu;

constexpr int kOfColumn = static_cast<int>(kSweepRows) / kLanes;  // vectors

// Takes the error of step i out of the steps after it, up to `end`.
inline void take_out(const Sweep& s, std::int64_t i, std::int64_t end, const Floats* errors) {
  const float* upper = s.upper + i * s.columns;
  for (std::int64_t j = i + 1; j < end; ++j)
    for (int v = 0; v < kOfColumn; ++v) {
      float* to = s.steps + j * kSweepRows + v * kLanes;
      store(to, load(to) - errors[v] * floats(upper[j]));
    }
}

// The same with a correction. Between blocks it acts on what the steps became, within one on what
// they were, as upstream has it.
inline void take_out_and_correct(const Sweep& s, std::int64_t begin, std::int64_t i,
                                 std::int64_t end, const Floats* errors) {
  const float *upper = s.upper + i * s.columns, *correction = s.correction + i * s.columns;
  for (int v = 0; v < kOfColumn; ++v) {
    const std::int64_t lane = v * kLanes;
    const Floats value = load(s.steps + i * kSweepRows + lane);
    store(s.carried + (i - begin) * kSweepRows + lane, value - errors[v] * floats(upper[i]));
    for (std::int64_t j = i + 1; j < end; ++j) {
      float* to = s.steps + j * kSweepRows + lane;
      store(to, load(to) - (errors[v] * floats(upper[j]) - value * floats(correction[j])));
    }
  }
}

inline void sweep_block(const Sweep& s, std::int64_t begin, std::int64_t end) {
  const Floats largest = floats(s.largest_code), nothing = floats(0.0f);
  for (std::int64_t i = begin; i < end; ++i) {
    const float* upper = s.upper + i * s.columns;
    const std::int64_t group = s.group_of[i] * kSweepRows;
    Floats errors[kOfColumn];
    for (int v = 0; v < kOfColumn; ++v) {
      const std::int64_t lane = v * kLanes, at = i * kSweepRows + lane;
      const Floats value = load(s.steps + at);
      const Floats scale = load(s.scales + group + lane), zero = load(s.zeros + group + lane);
      const Floats step = round_even(value / scale) + zero;
      const Floats code = minimum(maximum(step, nothing), largest);
      errors[v] = (value - scale * (code - zero)) / floats(upper[i]);
      store(s.codes + at, code);
      store(s.errors + (i - begin) * kSweepRows + lane, errors[v]);
    }
    if (s.correction)
      take_out_and_correct(s, begin, i, end, errors);
    else
      take_out(s, i, end, errors);
  }
  double losses[kSweepRows] = {};
  for (std::int64_t i = 0; i < (end - begin) * kSweepRows; ++i) {
    const double error = static_cast<double>(s.errors[i]);
    losses[i % kSweepRows] += 0.5 * error * error;
  }
  for (std::int64_t r = 0; r < kSweepRows; ++r) s.losses[r] += losses[r];
}

template <int kTile>
struct Tile {
  Floats sums[kTile][kOfColumn];
};

// The steps [begin, end) of `rows` [kSweepBlock, kSweepRows] times their part of `matrix`.
template <int kTile>
inline Tile<kTile> tile_of(const float* rows, const float* matrix, const Sweep& s,
                           std::int64_t begin, std::int64_t end, std::int64_t first) {
  Tile<kTile> tile;
  for (auto& column : tile.sums)
    for (Floats& sum : column) sum = floats(0.0f);
  for (std::int64_t i = begin; i < end; ++i) {
    const float* factors = matrix + i * s.columns + first;
    const float* row = rows + (i - begin) * kSweepRows;
    for (int t = 0; t < kTile; ++t)
      for (int v = 0; v < kOfColumn; ++v)
        tile.sums[t][v] = tile.sums[t][v] + load(row + v * kLanes) * floats(factors[t]);
  }
  return tile;
}

template <int kTile>
inline void spread_tile(const Sweep& s, std::int64_t begin, std::int64_t end, std::int64_t first) {
  Tile<kTile> moved = tile_of<kTile>(s.errors, s.upper, s, begin, end, first);
  if (s.correction) {
    const Tile<kTile> added = tile_of<kTile>(s.carried, s.correction, s, begin, end, first);
    for (int t = 0; t < kTile; ++t)
      for (int v = 0; v < kOfColumn; ++v) moved.sums[t][v] = moved.sums[t][v] - added.sums[t][v];
  }
  for (int t = 0; t < kTile; ++t)
    for (int v = 0; v < kOfColumn; ++v) {
      float* to = s.steps + (first + t) * kSweepRows + v * kLanes;
      store(to, load(to) - moved.sums[t][v]);
    }
}

inline void spread_errors(const Sweep& s, std::int64_t begin, std::int64_t end) {
  constexpr int kTile = kLanes == 16 ? 16 : kLanes == 8 ? 4 : 1;  // what the registers hold
  std::int64_t j = end;
  for (; j + kTile <= s.columns; j += kTile) spread_tile<kTile>(s, begin, end, j);
  for (; j < s.columns; ++j) spread_tile<1>(s, begin, end, j);
}

// kRows rows and kVectors vectors from column `first` on; of the last vector `lanes` elements.
template <int kRows, int kVectors>
inline void subtract_tile(const Products& p, std::int64_t row, std::int64_t first, int lanes) {
  const auto read = [&](const float* from, int v) {
    return v + 1 < kVectors || lanes == kLanes ? load(from + v * kLanes)
                                               : load_n(from + v * kLanes, lanes);
  };
  float* to = p.to + row * p.to_stride + first;
  const float* factors = p.factors + row * p.factors_stride;
  Floats sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) sums[r][v] = read(to + r * p.to_stride, v);
  for (std::int64_t d = 0; d < p.depth; ++d) {
    Floats other[kVectors];
    for (int v = 0; v < kVectors; ++v) other[v] = read(p.other + d * p.other_stride + first, v);
    for (int r = 0; r < kRows; ++r) {
      const Floats factor = floats(factors[r * p.factors_stride + d]);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = sums[r][v] - factor * other[v];
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v)
      if (v + 1 < kVectors || lanes == kLanes)
        store(to + r * p.to_stride + v * kLanes, sums[r][v]);
      else
        store_n(to + r * p.to_stride + v * kLanes, sums[r][v], lanes);
}

template <int kRows>
inline void subtract_rows(const Products& p, std::int64_t row) {
  constexpr int kVectors = 2;
  std::int64_t j = 0;
  for (; j + kVectors * kLanes <= p.width; j += kVectors * kLanes)
    subtract_tile<kRows, kVectors>(p, row, j, kLanes);
  for (; j < p.width; j += kLanes) {
    const std::int64_t rest = p.width - j;
    subtract_tile<kRows, 1>(p, row, j, rest < kLanes ? static_cast<int>(rest) : kLanes);
  }
}

inline void subtract_products(const Products& p) {
  constexpr int kRows = 4;
  std::int64_t row = 0;
  for (; row + kRows <= p.rows; row += kRows) subtract_rows<kRows>(p, row);
  for (; row < p.rows; ++row) subtract_rows<1>(p, row);
}

inline constexpr RowKernels kRowKernels = {sweep_block, spread_errors, subtract_products};

}  // namespace
}  // namespace quanthost::gptq

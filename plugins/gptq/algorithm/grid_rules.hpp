// The arithmetic of quantization grids, for hosts and devices. Everything is float on purpose:
// values meet the rounding boundaries of float arithmetic exactly.
#pragma once

#include <cmath>

#include "code_words.hpp"

namespace quanthost::gptq {

struct GridOptions {
  int bits = 4;
  bool symmetric = true;
  // Exponent of the error that a search over shrunk grids minimizes; 0 takes the full range.
  float mse_exponent = 0.0f;
};

struct Grid {
  float scale;
  float zero;

  QH_GPTQ_FUNCTION float code(float value, float largest_code) const {
    const float step = rintf(value / scale) + zero;
    if (!(step > 0.0f)) return 0.0f;  // also for what is no number
    return step < largest_code ? step : largest_code;
  }
  QH_GPTQ_FUNCTION float value(float code) const { return scale * (code - zero); }
};

struct Range {
  float low, high;  // with 0 between them
};

// What the grid spans of the range of its values.
QH_GPTQ_FUNCTION Range spanned(Range range, bool symmetric) {
  if (symmetric) {
    range.high = -range.low > range.high ? -range.low : range.high;
    // Upstream leaves an all-positive row its low end of 0: the scale is then half of the usual.
    if (range.low < 0.0f) range.low = -range.high;
  }
  if (range.low == 0.0f && range.high == 0.0f) return {-1.0f, 1.0f};
  return range;
}

QH_GPTQ_FUNCTION Grid grid_over(Range range, const GridOptions& options) {
  float scale = (range.high - range.low) / static_cast<float>(largest_code(options.bits));
  if (scale == 0.0f) scale = 0x1p-126f;  // the range underflows
  if (options.symmetric) return {scale, static_cast<float>(1 << (options.bits - 1))};
  return {scale, rintf(-range.low / scale)};
}

// Grids of the search shrink both ends in steps of a hundredth down to a fifth; the first of equals
// wins.
constexpr int kSearchSteps = 80;
QH_GPTQ_FUNCTION Range shrunk(Range range, int step) {
  const auto part = static_cast<float>(1.0 - step / 100.0);
  return {part * range.low, part * range.high};
}

// Whether the search looks at both zeros beside the exact one: with four codes it matters which way
// the zero is rounded.
QH_GPTQ_FUNCTION bool searches_neighbours(const GridOptions& options) {
  return options.bits == 2 && !options.symmetric;
}

// The whole number on the other side of the exact zero.
QH_GPTQ_FUNCTION float neighbouring_zero(float low, const Grid& grid, float largest_code) {
  const auto within = [&](float zero) {
    return zero < 0.0f ? 0.0f : zero < largest_code ? zero : largest_code;
  };
  const float exact = -low / grid.scale, below = within(floorf(exact));
  return grid.zero == below ? within(ceilf(exact)) : below;
}

}  // namespace quanthost::gptq

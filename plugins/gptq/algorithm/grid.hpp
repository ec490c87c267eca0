// The quantization grid of one row's group: its scale and zero, and the code of a value on it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

namespace quanthost::gptq {

struct GridOptions {
  int bits = 4;
  bool symmetric = true;
  // Exponent of the error that a search over shrunk grids minimizes; 0 takes the full range.
  float mse_exponent = 0.0f;
};

// Everything is float on purpose: values meet the rounding boundaries of float arithmetic exactly.
struct Grid {
  float scale;
  float zero;

  float code(float value, float largest_code) const {
    const float step = std::nearbyint(value / scale) + zero;
    return step > 0.0f ? std::min(step, largest_code) : 0.0f;  // also for what is no number
  }
  float value(float code) const { return scale * (code - zero); }
};

// The grid over the values' range, which always holds 0.
Grid find_grid(std::span<const float> values, const GridOptions& options);

}  // namespace quanthost::gptq

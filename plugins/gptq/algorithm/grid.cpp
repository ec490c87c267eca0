// Range and search of quantization grids.
#include "algorithm/grid.hpp"

#include <limits>

namespace quanthost::gptq {
namespace {

struct Range {
  float low, high;
};

Range range_of(std::span<const float> values, bool symmetric) {
  Range range{0.0f, 0.0f};
  for (float value : values) {
    range.low = std::min(range.low, value);
    range.high = std::max(range.high, value);
  }
  if (symmetric) {
    range.high = std::max(-range.low, range.high);
    // Upstream leaves an all-positive row its low end of 0: the scale is then half of the usual.
    if (range.low < 0.0f) range.low = -range.high;
  }
  if (range.low == 0.0f && range.high == 0.0f) return {-1.0f, 1.0f};
  return range;
}

Grid grid_over(Range range, const GridOptions& options) {
  const auto steps = static_cast<float>((1 << options.bits) - 1);
  float scale = (range.high - range.low) / steps;
  if (scale == 0.0f) scale = std::numeric_limits<float>::min();  // the range underflows
  if (options.symmetric) return {scale, static_cast<float>(1 << (options.bits - 1))};
  return {scale, std::nearbyint(-range.low / scale)};
}

double error_of(std::span<const float> values, const Grid& grid, const GridOptions& options) {
  const auto largest_code = static_cast<float>((1 << options.bits) - 1);
  double error = 0.0;
  for (float value : values)
    error += std::pow(std::abs(grid.value(grid.code(value, largest_code)) - value),
                      options.mse_exponent);
  return error;
}

// Whether the search looks at both zeros beside the exact one: with four codes it matters which way
// the zero is rounded.
bool searches_neighbours(const GridOptions& options) {
  return options.bits == 2 && !options.symmetric;
}

// The whole number on the other side of the exact zero.
float neighbouring_zero(float low, const Grid& grid, float largest_code) {
  const float exact = -low / grid.scale;
  const float below = std::clamp(std::floor(exact), 0.0f, largest_code);
  return grid.zero == below ? std::clamp(std::ceil(exact), 0.0f, largest_code) : below;
}

}  // namespace

Grid find_grid(std::span<const float> values, const GridOptions& options) {
  const Range range = range_of(values, options.symmetric);
  Grid best = grid_over(range, options);
  if (options.mse_exponent == 0.0f) return best;
  // Both ends shrink in steps of a hundredth down to a fifth; the first of equals wins.
  double least = std::numeric_limits<double>::infinity();
  const auto consider = [&](const Grid& grid) {
    const double error = error_of(values, grid, options);
    if (!(error < least)) return;
    least = error;
    best = grid;
  };
  for (int step = 0; step < 80; ++step) {
    const auto part = static_cast<float>(1.0 - step / 100.0);
    Grid grid = grid_over({part * range.low, part * range.high}, options);
    consider(grid);
    if (!searches_neighbours(options)) continue;
    grid.zero =
        neighbouring_zero(part * range.low, grid, static_cast<float>((1 << options.bits) - 1));
    consider(grid);
  }
  return best;
}

}  // namespace quanthost::gptq

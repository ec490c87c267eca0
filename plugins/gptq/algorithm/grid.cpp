// Range and search of quantization grids.
#include "algorithm/grid.hpp"

#include <algorithm>
#include <limits>

namespace quanthost::gptq {
namespace {

Range range_of(std::span<const float> values, bool symmetric) {
  Range range{0.0f, 0.0f};
  for (float value : values) {
    range.low = std::min(range.low, value);
    range.high = std::max(range.high, value);
  }
  return spanned(range, symmetric);
}

double error_of(std::span<const float> values, const Grid& grid, const GridOptions& options) {
  const auto largest = static_cast<float>(largest_code(options.bits));
  double error = 0.0;
  for (float value : values)
    error +=
        std::pow(std::abs(grid.value(grid.code(value, largest)) - value), options.mse_exponent);
  return error;
}

}  // namespace

Grid find_grid(std::span<const float> values, const GridOptions& options) {
  const Range range = range_of(values, options.symmetric);
  Grid best = grid_over(range, options);
  if (options.mse_exponent == 0.0f) return best;
  double least = std::numeric_limits<double>::infinity();
  const auto consider = [&](const Grid& grid) {
    const double error = error_of(values, grid, options);
    if (!(error < least)) return;
    least = error;
    best = grid;
  };
  for (int step = 0; step < kSearchSteps; ++step) {
    const Range part = shrunk(range, step);
    Grid grid = grid_over(part, options);
    consider(grid);
    if (!searches_neighbours(options)) continue;
    grid.zero = neighbouring_zero(part.low, grid, static_cast<float>(largest_code(options.bits)));
    consider(grid);
  }
  return best;
}

}  // namespace quanthost::gptq

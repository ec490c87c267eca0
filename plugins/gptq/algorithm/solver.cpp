// The blocked column sweep. Rows do not depend on each other: a task takes a few of them through
// all columns.
#include "algorithm/solver.hpp"

#include <algorithm>
#include <quanthost/plugin/error.hpp>
#include <string>

#include "algorithm/rows.hpp"

namespace quanthost::gptq {
namespace {

// Columns whose errors are spread over the rest at once. Grids of dynamic groups see the updates of
// earlier blocks only, so this number is part of the result.
constexpr std::int64_t kBlock = 128;
constexpr std::int64_t kRowsPerTask = 8;  // share what they read of the factor
constexpr std::int64_t kTile = 256;       // columns of a spread at a time

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

struct Layer {
  const SolverOptions& options;
  const PreparedHessian& hessian;
  std::int64_t group_size;             // in columns, also for -1
  bool grids_are_fixed;                // found before the sweep
  std::vector<std::int32_t> group_of;  // of each step
  QuantizedLayer& out;

  float largest_code() const { return static_cast<float>((1 << options.grid.bits) - 1); }
  void set_grid(std::int64_t row, std::int64_t group, const Grid& grid) const {
    out.scales[index(row * out.groups + group)] = grid.scale;
    out.zeros[index(row * out.groups + group)] = static_cast<std::uint8_t>(grid.zero);
  }
  Grid grid(std::int64_t row, std::int64_t group) const {
    const std::size_t at = index(row * out.groups + group);
    return {out.scales[at], static_cast<float>(out.zeros[at])};
  }
};

// A row in sweep order, without its dead columns, and its fixed grids.
void load_row(const Layer& layer, std::int64_t row, const float* weight, float* steps) {
  const std::int64_t columns = layer.out.columns;
  std::vector<float> natural(weight, weight + columns);
  if (layer.options.group_size == -1)  // upstream looks at dead columns here, and only here
    layer.set_grid(row, 0, find_grid(natural, layer.options.grid));
  for (std::int64_t k : layer.hessian.dead) natural[index(k)] = 0.0f;
  if (layer.options.group_size != -1 && layer.grids_are_fixed)
    for (std::int64_t g = 0; g < layer.out.groups; ++g) {
      const std::int64_t first = g * layer.group_size;
      const std::int64_t count = std::min(layer.group_size, columns - first);
      layer.set_grid(row, g, find_grid({natural.data() + first, index(count)}, layer.options.grid));
    }
  for (std::int64_t i = 0; i < columns; ++i)
    steps[i] = natural[index(layer.hessian.order[index(i)])];
}

// Quantizes the steps [begin, end) of a row and leaves their errors; returns the loss.
double sweep_block(const Layer& layer, std::int64_t row, std::int64_t begin, std::int64_t end,
                   const float* steps, float* errors) {
  const std::int64_t columns = layer.out.columns;
  float block[kBlock];
  std::copy(steps + begin, steps + end, block);
  double loss = 0.0;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int32_t group = layer.group_of[index(i)];
    if (!layer.grids_are_fixed && i % layer.group_size == 0) {
      const std::int64_t count = std::min(layer.group_size, columns - i);
      layer.set_grid(row, group, find_grid({steps + i, index(count)}, layer.options.grid));
    }
    const Grid grid = layer.grid(row, group);
    const float* upper = layer.hessian.upper.data() + i * columns;
    const float value = block[i - begin];
    const float code = grid.code(value, layer.largest_code());
    const float missed = value - grid.value(code);
    const float error = missed / upper[i];
    subtract_scaled(block + (i - begin), upper + i, error, end - i);
    errors[i - begin] = error;
    loss += 0.5 * static_cast<double>(error) * static_cast<double>(error);
    layer.out.codes[index(row * columns + layer.hessian.order[index(i)])] =
        static_cast<std::uint8_t>(code);
  }
  return loss;
}

// Takes the errors of the block [begin, end) out of the steps after it.
void spread_errors(const Layer& layer, std::int64_t begin, std::int64_t end, std::int64_t rows,
                   const float* errors, float* steps) {
  const std::int64_t columns = layer.out.columns;
  float sums[kTile];
  for (std::int64_t tile = end; tile < columns; tile += kTile) {
    const std::int64_t width = std::min(kTile, columns - tile);
    for (std::int64_t r = 0; r < rows; ++r) {
      std::fill(sums, sums + width, 0.0f);
      for (std::int64_t i = begin; i < end; ++i) {
        const float error = errors[r * kBlock + i - begin];
        const float* upper = layer.hessian.upper.data() + i * columns + tile;
        add_scaled(sums, upper, error, width);
      }
      float* row = steps + r * columns + tile;
      for (std::int64_t j = 0; j < width; ++j) row[j] -= sums[j];
    }
  }
}

// Quantizes a few rows; their losses go to `losses`.
void quantize_rows(const Layer& layer, const float* weight, std::int64_t first, std::int64_t rows,
                   double* losses) {
  const std::int64_t columns = layer.out.columns;
  std::vector<float> steps(index(rows * columns)), errors(index(rows * kBlock));
  for (std::int64_t r = 0; r < rows; ++r)
    load_row(layer, first + r, weight + (first + r) * columns, steps.data() + r * columns);
  for (std::int64_t begin = 0; begin < columns; begin += kBlock) {
    const std::int64_t end = std::min(columns, begin + kBlock);
    for (std::int64_t r = 0; r < rows; ++r)
      losses[first + r] += sweep_block(layer, first + r, begin, end, steps.data() + r * columns,
                                       errors.data() + r * kBlock);
    spread_errors(layer, begin, end, rows, errors.data(), steps.data());
  }
}

QuantizedLayer empty_layer(std::int64_t rows, std::int64_t columns, std::int64_t groups) {
  QuantizedLayer layer{};
  layer.rows = rows;
  layer.columns = columns;
  layer.groups = groups;
  layer.codes.resize(index(rows * columns));
  layer.scales.resize(index(rows * groups));
  layer.zeros.resize(index(rows * groups));
  layer.g_idx.resize(index(columns));
  return layer;
}

}  // namespace

QuantizedLayer quantize_layer(std::span<const float> weight, std::int64_t rows,
                              const PreparedHessian& hessian, const SolverOptions& options,
                              const ParallelFor& parallel_for) {
  const std::int64_t columns = hessian.columns;
  if (rows < 0 || weight.size() != index(rows * columns))
    throw qh::Error(QH_ERR_VALUE, "the weight has " + std::to_string(weight.size()) +
                                      " elements; needed are " + std::to_string(rows) + " x " +
                                      std::to_string(columns));
  const auto wrong =
      std::find_if(weight.begin(), weight.end(), [](float w) { return !std::isfinite(w); });
  if (wrong != weight.end())
    throw qh::Error(QH_ERR_VALUE, "the weight is not finite in row " +
                                      std::to_string((wrong - weight.begin()) / columns));
  const std::int64_t group_size = options.group_size == -1 ? columns : options.group_size;
  QuantizedLayer out = empty_layer(rows, columns, (columns + group_size - 1) / group_size);
  Layer layer{options, hessian, group_size, options.static_groups || options.group_size == -1,
              {},      out};
  const bool groups_follow_sweep = options.desc_act && !options.static_groups;
  for (std::int64_t i = 0; i < columns; ++i) {
    const std::int64_t column = hessian.order[index(i)];
    const auto group = static_cast<std::int32_t>((groups_follow_sweep ? i : column) / group_size);
    layer.group_of.push_back(group);
    out.g_idx[index(column)] = group;
  }
  std::vector<double> losses(index(rows));
  parallel_for((rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t first = task * kRowsPerTask;
      quantize_rows(layer, weight.data(), first, std::min(kRowsPerTask, rows - first),
                    losses.data());
    }
  });
  for (double loss : losses) out.loss += loss;
  return out;
}

}  // namespace quanthost::gptq

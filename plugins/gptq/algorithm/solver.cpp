// The blocked column sweep. Rows do not depend on each other: a task takes sixteen of them through
// all columns.
#include "algorithm/solver.hpp"

#include <algorithm>
#include <quanthost/plugin/error.hpp>
#include <string>

#include "algorithm/row_kernels.hpp"

namespace quanthost::gptq {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

struct Layer {
  const SolverOptions& options;
  const PreparedHessian& hessian;
  const SweepPlan& plan;
  QuantizedLayer& out;
};

// The rows [first, first + count) on their way through the columns. Rows past them are zeros.
class RowStrip {
 public:
  RowStrip(const Layer& layer, const float* weight, std::int64_t first, std::int64_t count)
      : layer_(layer),
        first_(first),
        count_(count),
        columns_(layer.out.columns),
        steps_(index(columns_ * kSweepRows)),
        codes_(index(columns_ * kSweepRows)),
        errors_(index(kSweepBlock * kSweepRows)),
        carried_(layer.hessian.correction.empty() ? 0 : errors_.size()),
        scales_(index(layer.out.groups * kSweepRows), 1.0f),
        zeros_(index(layer.out.groups * kSweepRows)) {
    for (std::int64_t r = 0; r < count; ++r) load(r, weight + (first + r) * columns_);
  }

  // Quantizes the rows; their losses go to `losses`.
  void run(double* losses) {
    double own[kSweepRows] = {};
    const float largest = static_cast<float>((1 << layer_.options.grid.bits) - 1);
    const PreparedHessian& hessian = layer_.hessian;
    const Sweep sweep{columns_,
                      hessian.upper.data(),
                      hessian.correction.empty() ? nullptr : hessian.correction.data(),
                      largest,
                      layer_.plan.group_of.data(),
                      scales_.data(),
                      zeros_.data(),
                      steps_.data(),
                      codes_.data(),
                      errors_.data(),
                      carried_.data(),
                      own};
    const RowKernels& kernels = row_kernels();
    for (std::int64_t begin = 0; begin < columns_; begin += kSweepBlock) {
      const std::int64_t end = std::min(columns_, begin + kSweepBlock);
      if (!layer_.plan.grids_are_fixed) find_grids(begin, end);
      kernels.sweep_block(sweep, begin, end);
      kernels.spread_errors(sweep, begin, end);
    }
    for (std::int64_t r = 0; r < count_; ++r) write(r);
    std::copy(own, own + count_, losses + first_);
  }

 private:
  // A row in sweep order, without its dead columns, and its fixed grids.
  void load(std::int64_t r, const float* weight) {
    std::vector<float> natural(weight, weight + columns_);
    const SolverOptions& options = layer_.options;
    if (options.group_size == -1)  // upstream looks at dead columns here, and only here
      set_grid(r, 0, find_grid(natural, options.grid));
    for (std::int64_t k : layer_.hessian.dead) natural[index(k)] = 0.0f;
    if (options.group_size != -1 && layer_.plan.grids_are_fixed)
      for (std::int64_t g = 0; g < layer_.out.groups; ++g) {
        const std::int64_t first = g * layer_.plan.group_size;
        const std::int64_t count = std::min(layer_.plan.group_size, columns_ - first);
        set_grid(r, g, find_grid({natural.data() + first, index(count)}, options.grid));
      }
    for (std::int64_t i = 0; i < columns_; ++i)
      steps_[index(i * kSweepRows + r)] = natural[index(layer_.hessian.order[index(i)])];
  }

  // Grids of the groups that begin in the block, as the rows are before its sweep.
  void find_grids(std::int64_t begin, std::int64_t end) {
    const std::int64_t size = layer_.plan.group_size;
    std::vector<float> values;
    for (std::int64_t i = (begin + size - 1) / size * size; i < end; i += size)
      for (std::int64_t r = 0; r < count_; ++r) {
        values.resize(index(std::min(size, columns_ - i)));
        for (std::size_t k = 0; k < values.size(); ++k)
          values[k] = steps_[(index(i) + k) * kSweepRows + index(r)];
        set_grid(r, layer_.plan.group_of[index(i)], find_grid(values, layer_.options.grid));
      }
  }

  void set_grid(std::int64_t r, std::int64_t group, const Grid& grid) {
    scales_[index(group * kSweepRows + r)] = grid.scale;
    zeros_[index(group * kSweepRows + r)] = grid.zero;
  }

  void write(std::int64_t r) const {
    QuantizedLayer& out = layer_.out;
    for (std::int64_t g = 0; g < out.groups; ++g) {
      const std::size_t from = index(g * kSweepRows + r), to = index((first_ + r) * out.groups + g);
      out.scales[to] = scales_[from];
      out.zeros[to] = static_cast<std::uint8_t>(zeros_[from]);
    }
    std::uint8_t* codes = out.codes.data() + (first_ + r) * columns_;
    for (std::int64_t i = 0; i < columns_; ++i)
      codes[layer_.hessian.order[index(i)]] =
          static_cast<std::uint8_t>(codes_[index(i * kSweepRows + r)]);
  }

  const Layer& layer_;
  const std::int64_t first_, count_, columns_;
  std::vector<float> steps_, codes_, errors_, carried_;  // [columns or block, kSweepRows]
  std::vector<float> scales_, zeros_;                    // [groups, kSweepRows]
};

QuantizedLayer empty_layer(std::int64_t rows, std::int64_t columns, std::int64_t groups) {
  QuantizedLayer layer{};
  layer.rows = rows;
  layer.columns = columns;
  layer.groups = groups;
  layer.codes.resize(index(rows * columns));
  layer.scales.resize(index(rows * groups));
  layer.zeros.resize(index(rows * groups));
  return layer;
}

}  // namespace

SweepPlan plan_sweep(std::span<const float> weight, std::int64_t rows,
                     const PreparedHessian& hessian, const SolverOptions& options) {
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
  SweepPlan plan{};
  plan.group_size = options.group_size == -1 ? columns : options.group_size;
  plan.groups = (columns + plan.group_size - 1) / plan.group_size;
  plan.grids_are_fixed = options.static_groups || options.group_size == -1;
  plan.g_idx.resize(index(columns));
  const bool groups_follow_sweep = options.desc_act && !options.static_groups;
  for (std::int64_t i = 0; i < columns; ++i) {
    const std::int64_t column = hessian.order[index(i)];
    const auto group =
        static_cast<std::int32_t>((groups_follow_sweep ? i : column) / plan.group_size);
    plan.group_of.push_back(group);
    plan.g_idx[index(column)] = group;
  }
  return plan;
}

QuantizedLayer quantize_layer(std::span<const float> weight, std::int64_t rows,
                              const PreparedHessian& hessian, const SolverOptions& options,
                              const ParallelFor& parallel_for) {
  const SweepPlan plan = plan_sweep(weight, rows, hessian, options);
  QuantizedLayer out = empty_layer(rows, hessian.columns, plan.groups);
  out.g_idx = plan.g_idx;
  const Layer layer{options, hessian, plan, out};
  std::vector<double> losses(index(rows));
  parallel_for((rows + kSweepRows - 1) / kSweepRows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin * kSweepRows; first < std::min(rows, end * kSweepRows);
         first += kSweepRows)
      RowStrip(layer, weight.data(), first, std::min(kSweepRows, rows - first)).run(losses.data());
  });
  for (double loss : losses) out.loss += loss;
  return out;
}

}  // namespace quanthost::gptq

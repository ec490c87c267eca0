// GPTQ's Hessian, grids and column sweep. Products and sums are rounded where the CPU's solver
// rounds them: both give the same codes.
#include <quanthost/kernel.hpp>

#include "algorithm/grid_rules.hpp"
#include "gpu/values.hpp"

namespace quanthost::gptq::gpu_kernels {
namespace {

using gptq::Grid;
using gptq::GridOptions;

// -- Hessian: a block has a tile of 64 x 64, a thread 4 x 4 of it

constexpr int kTile = 64;
constexpr int kDepth = 16;  // tokens staged at a time
constexpr int kSide = 16;   // threads along a tile
constexpr int kOwn = kTile / kSide;

QH_DEVICE void stage_columns(const gpu::SharedArray<float>& tile, const void* inputs, Element type,
                             std::int64_t first_token, std::int64_t tokens, std::int64_t first,
                             std::int64_t columns) {
  for (int i = gpu::thread_in_block(); i < kDepth * kTile; i += kThreads) {
    const std::int64_t t = first_token + i / kTile, k = first + i % kTile;
    float value = 0;
    if (t < tokens && k < columns) value = read(inputs, type, t * columns + k);
    tile[i] = value;
  }
}

QH_KERNEL void add_products(Element type, const void* inputs, std::int64_t tokens,
                            std::int64_t columns, float keep, float factor, float* hessian) {
  QH_SHARED(float, left, kDepth* kTile);
  QH_SHARED(float, right, kDepth* kTile);
  const std::int64_t row0 = static_cast<std::int64_t>(gpu::block_index().y) * kTile;
  const std::int64_t column0 = static_cast<std::int64_t>(gpu::block_index().x) * kTile;
  if (column0 < row0) return;  // the other triangle is its mirror
  const int y = gpu::thread_in_block() / kSide, x = gpu::thread_in_block() % kSide;
  float sums[kOwn][kOwn] = {};
  for (std::int64_t t = 0; t < tokens; t += kDepth) {
    stage_columns(left, inputs, type, t, tokens, row0, columns);
    stage_columns(right, inputs, type, t, tokens, column0, columns);
    gpu::block_barrier();
    for (int d = 0; d < kDepth; ++d)
      for (int i = 0; i < kOwn; ++i) {
        const float a = left[d * kTile + i * kSide + y];
        for (int j = 0; j < kOwn; ++j) {
          const float b = right[d * kTile + j * kSide + x];
          sums[i][j] = fmaf(a, b, sums[i][j]);
        }
      }
    gpu::block_barrier();
  }
  for (int i = 0; i < kOwn; ++i)
    for (int j = 0; j < kOwn; ++j) {
      const std::int64_t row = row0 + i * kSide + y, column = column0 + j * kSide + x;
      if (row >= columns || column < row || column >= columns) continue;
      const float before = keep == 0 ? 0 : keep * hessian[row * columns + column];
      hessian[row * columns + column] = hessian[column * columns + row] =
          before + factor * sums[i][j];
    }
}

// -- grids: a group of 32 lanes has a row's group

QH_DEVICE double error_of(const float* values, std::int64_t count, const Grid& grid,
                          const GridOptions& options) {
  const auto largest = static_cast<float>(largest_code(options.bits));
  double error = 0;
  for (std::int64_t i = gpu::thread_in_block() % kLanes; i < count; i += kLanes)
    error +=
        powf(fabsf(grid.value(grid.code(values[i], largest)) - values[i]), options.mse_exponent);
  return gpu::group_sum<kLanes>(error);
}

QH_DEVICE Grid find_grid(const float* values, std::int64_t count, const GridOptions& options) {
  Range range{0, 0};
  for (std::int64_t i = gpu::thread_in_block() % kLanes; i < count; i += kLanes) {
    range.low = values[i] < range.low ? values[i] : range.low;
    range.high = values[i] > range.high ? values[i] : range.high;
  }
  range.low = -gpu::group_max<kLanes>(-range.low);
  range.high = gpu::group_max<kLanes>(range.high);
  range = spanned(range, options.symmetric);
  Grid best = grid_over(range, options);
  if (options.mse_exponent == 0) return best;
  double least = -1;  // none yet
  for (int step = 0; step < kSearchSteps; ++step) {
    const Range part = shrunk(range, step);
    Grid grid = grid_over(part, options);
    for (int candidate = 0; candidate < (searches_neighbours(options) ? 2 : 1); ++candidate) {
      if (candidate == 1)
        grid.zero =
            neighbouring_zero(part.low, grid, static_cast<float>(largest_code(options.bits)));
      const double error = error_of(values, count, grid, options);
      if (least >= 0 && !(error < least)) continue;
      least = error;
      best = grid;
    }
  }
  return best;
}

constexpr int kRowsOfBlock = kThreads / kLanes;

QH_DEVICE std::int64_t own_row() {
  return static_cast<std::int64_t>(gpu::block_index().x) * kRowsOfBlock +
         gpu::thread_in_block() / kLanes;
}

QH_KERNEL void grids_of_rows(GridOptions options, const float* weight, std::int64_t rows,
                             std::int64_t columns, std::int64_t group_size, float* scales,
                             std::uint8_t* zeros) {
  const std::int64_t row = own_row();
  if (row >= rows) return;
  const std::int64_t groups = ceil_div(columns, group_size);
  for (std::int64_t g = gpu::block_index().y; g < groups; g += gpu::grid_size().y) {
    const std::int64_t first = g * group_size;
    const std::int64_t count = columns - first < group_size ? columns - first : group_size;
    const Grid grid = find_grid(weight + row * columns + first, count, options);
    if (gpu::thread_in_block() % kLanes != 0) continue;
    scales[row * groups + g] = grid.scale;
    zeros[row * groups + g] = static_cast<std::uint8_t>(grid.zero);
  }
}

// -- sweep

constexpr int kBlock = 128;  // columns whose errors are spread over the rest at once
constexpr int kSlots = kBlock / kLanes;

// The steps [begin, end) of a row, by 32 lanes that hold four of them each.
QH_KERNEL void sweep_columns(Sweep s, GridOptions options, std::int64_t begin, std::int64_t end) {
  const std::int64_t row = own_row();
  if (row >= s.rows) return;
  const int lane = gpu::thread_in_block() % kLanes;
  const auto largest = static_cast<float>(largest_code(options.bits));
  const float* weight = s.weight + row * s.columns;
  float steps[kSlots];
  for (int j = 0; j < kSlots; ++j) {
    const std::int64_t column = begin + j * kLanes + lane;
    steps[j] = column < end ? weight[column] : 0;
  }
  Grid grid{1, 0};
  std::int64_t known = -1;
  double loss = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t group = s.group_of[i], at = row * s.groups + group;
    if (!s.fixed_grids && i % s.group_size == 0) {
      const std::int64_t left = s.columns - i;
      grid = find_grid(weight + i, left < s.group_size ? left : s.group_size, options);
      known = group;
      if (lane == 0) {
        s.scales[at] = grid.scale;
        s.zeros[at] = static_cast<std::uint8_t>(grid.zero);
      }
    } else if (known != group) {
      grid = {s.scales[at], static_cast<float>(s.zeros[at])};
      known = group;
    }
    const int offset = static_cast<int>(i - begin);
    float own = 0;
    for (int j = 0; j < kSlots; ++j) own = j == offset / kLanes ? steps[j] : own;
    const float value = gpu::shuffle<kLanes>(own, offset % kLanes);
    const float code = grid.code(value, largest);
    const float missed = value - grid.value(code);
    const float* upper = s.upper + i * s.columns;
    const float error = missed / upper[i];
    for (int j = 0; j < kSlots; ++j) {
      const std::int64_t column = begin + j * kLanes + lane;
      if (column >= i && column < end) steps[j] -= error * upper[column];
    }
    loss += 0.5 * static_cast<double>(error) * static_cast<double>(error);
    if (lane != 0) continue;
    s.codes[row * s.columns + i] = static_cast<std::uint8_t>(code);
    s.errors[row * kBlock + offset] = error;
  }
  if (lane == 0) s.losses[row] = static_cast<float>((begin > 0 ? s.losses[row] : 0.0) + loss);
}

// Takes the errors of the steps [begin, end) out of the ones after it, four rows a thread.
constexpr int kSpreadRows = 4;
QH_KERNEL void spread_errors(Sweep s, std::int64_t begin, std::int64_t end,
                             std::int64_t first_row) {
  const std::int64_t column =
      end + static_cast<std::int64_t>(gpu::block_index().x) * kThreads + gpu::thread_in_block();
  const std::int64_t row0 = first_row + gpu::block_index().y * kSpreadRows;
  if (column >= s.columns) return;
  float sums[kSpreadRows] = {};
  for (std::int64_t i = begin; i < end; ++i) {
    const float upper = s.upper[i * s.columns + column];
    for (int r = 0; r < kSpreadRows; ++r)
      if (row0 + r < s.rows) sums[r] += s.errors[(row0 + r) * kBlock + i - begin] * upper;
  }
  for (int r = 0; r < kSpreadRows; ++r)
    if (row0 + r < s.rows) s.weight[(row0 + r) * s.columns + column] -= sums[r];
}

GridOptions grid_options(const Options& o) { return {o.bits, o.symmetric, o.mse_exponent}; }

}  // namespace

void add_to_hessian(void* stream, Element type, const void* inputs, std::int64_t tokens,
                    std::int64_t columns, float keep, float factor, float* hessian) {
  const unsigned tiles = blocks_for(columns, kTile);
  if (tiles == 0) return;
  gpu::launch({stream}, {{tiles, tiles}, kThreads}, add_products, type, inputs, tokens, columns,
              keep, factor, hessian);
}

void find_grids(void* stream, const Options& options, const float* weight, std::int64_t rows,
                std::int64_t columns, std::int64_t group_size, float* scales, std::uint8_t* zeros) {
  if (rows == 0 || columns == 0) return;
  const std::int64_t groups = ceil_div(columns, group_size);
  gpu::launch({stream},
              {{blocks_for(rows, kRowsOfBlock), static_cast<unsigned>(groups < 64 ? groups : 64)},
               kThreads},
              grids_of_rows, grid_options(options), weight, rows, columns, group_size, scales,
              zeros);
}

void sweep(void* stream, const Sweep& s) {
  if (s.rows == 0) return;
  for (std::int64_t begin = 0; begin < s.columns; begin += kBlock) {
    const std::int64_t end = begin + kBlock < s.columns ? begin + kBlock : s.columns;
    gpu::launch({stream}, {{blocks_for(s.rows, kRowsOfBlock)}, kThreads}, sweep_columns, s,
                grid_options(s.grid), begin, end);
    if (end == s.columns) return;
    in_launches(s.rows, kSpreadRows, [&](std::int64_t first, std::int64_t size) {
      gpu::launch(
          {stream},
          {{blocks_for(s.columns - end, kThreads), blocks_for(size, kSpreadRows)}, kThreads},
          spread_errors, s, begin, end, first);
    });
  }
}

}  // namespace quanthost::gptq::gpu_kernels

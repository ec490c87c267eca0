// The order of LibTorch's cascade sum: eight lanes, four interleaved rows of them, four levels of
// partial sums.
#include "plugins/bnb4/torch_mean.hpp"

#include <bit>

namespace quanthost::bnb4 {
namespace {

constexpr int kLanes = 8;
constexpr int kRows = 4;
constexpr int kLevels = 4;

struct Lanes {
  float value[kLanes] = {};
  void add(const float* other) {
    for (int i = 0; i < kLanes; ++i) value[i] += other[i];
  }
};

// Sums `steps` groups of kRows lane vectors; the result's row r holds what was read at row r of
// each group.
void cascade(const float* values, int64_t steps, Lanes (&out)[kRows]) {
  const int log2 = steps > 1 ? std::bit_width(static_cast<uint64_t>(steps - 1)) : 0;
  const int level_power = log2 / kLevels > 4 ? log2 / kLevels : 4;
  const int64_t level_step = int64_t{1} << level_power;
  Lanes sums[kLevels][kRows];
  int64_t step = 0;
  const auto add_group = [&] {
    for (int r = 0; r < kRows; ++r) sums[0][r].add(values + (step * kRows + r) * kLanes);
    ++step;
  };
  while (step + level_step <= steps) {
    for (int64_t i = 0; i < level_step; ++i) add_group();
    for (int level = 1; level < kLevels; ++level) {
      for (int r = 0; r < kRows; ++r) {
        sums[level][r].add(sums[level - 1][r].value);
        sums[level - 1][r] = Lanes{};
      }
      if ((step & ((level_step - 1) << (level * level_power))) != 0) break;
    }
  }
  while (step < steps) add_group();
  for (int r = 0; r < kRows; ++r) {
    for (int level = 1; level < kLevels; ++level) sums[0][r].add(sums[level][r].value);
    out[r] = sums[0][r];
  }
}

// Fewer than a lane vector: four interleaved sums of single values.
float short_sum(const float* values, int64_t count) {
  float sums[kRows] = {};
  const int64_t groups = count / kRows;
  for (int64_t i = 0; i < groups * kRows; ++i) sums[i % kRows] += values[i];
  for (int64_t i = groups * kRows; i < count; ++i) sums[0] += values[i];
  return sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace

float torch_mean(const float* values, int64_t count) {
  if (count < kLanes) return short_sum(values, count) / static_cast<float>(count);
  const int64_t vectors = count / kLanes;
  const int64_t groups = vectors / kRows;
  Lanes rows[kRows];
  cascade(values, groups, rows);
  for (int64_t v = groups * kRows; v < vectors; ++v) rows[0].add(values + v * kLanes);
  for (int r = 1; r < kRows; ++r) rows[0].add(rows[r].value);
  float sum = 0.0f;
  for (int64_t i = vectors * kLanes; i < count; ++i) sum += values[i];
  for (int lane = 0; lane < kLanes; ++lane) sum += rows[0].value[lane];
  return sum / static_cast<float>(count);
}

}  // namespace quanthost::bnb4

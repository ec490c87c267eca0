// Builds the dynamic map in float32 steps that reproduce LibTorch's linspace, and searches it.
#include "plugins/bnb4/dynamic_map.hpp"

#include <algorithm>
#include <cmath>

namespace quanthost::bnb4 {
namespace {

// torch.linspace(0.1, 1, points) in float32: counted from the nearer end, each step one fused
// operation.
float linspace_point(int index, int points) {
  const float step = (1.0f - 0.1f) / static_cast<float>(points - 1);
  if (index < points / 2) return std::fma(step, static_cast<float>(index), 0.1f);
  return std::fma(-step, static_cast<float>(points - 1 - index), 1.0f);
}

std::array<float, 256> build_dynamic_map() {
  std::array<float, 256> map{};
  size_t next = 0;
  for (int exponent = 0; exponent < 7; ++exponent) {
    const int points = (1 << exponent) + 1;
    const auto scale = static_cast<float>(std::pow(10.0, exponent - 6));
    for (int k = 0; k + 1 < points; ++k) {
      const float center = (linspace_point(k, points) + linspace_point(k + 1, points)) / 2.0f;
      map[next++] = scale * center;
      map[next++] = -(scale * center);
    }
  }
  map[next++] = 0.0f;
  map[next++] = 1.0f;
  std::sort(map.begin(), map.end());
  return map;
}

}  // namespace

const std::array<float, 256>& dynamic_map() {
  static const std::array<float, 256> map = build_dynamic_map();
  return map;
}

CpuDynamicEncoder::CpuDynamicEncoder(const float* map) {
  int below = 0;  // midpoints below the step's value; both ascend
  for (int step = 0; step < 65536; ++step) {
    const float value = -1.0f + 2.0f * static_cast<float>(step) / 65535.0f;
    while (below < 255 && (map[below] + map[below + 1]) * 0.5f < value) ++below;
    code_of_step_[static_cast<size_t>(step)] = static_cast<uint8_t>(below);
  }
}

uint8_t CpuDynamicEncoder::encode(float value) const {
  // A NaN becomes -1, as std::clamp's comparisons leave it no other place.
  const float clamped = value > 1.0f ? 1.0f : (value > -1.0f ? value : -1.0f);
  // bitsandbytes' own rounding, to the bit. NOLINTNEXTLINE(bugprone-incorrect-roundings)
  return code_of_step_[static_cast<uint16_t>((clamped + 1.0f) * 0.5f * 65535.0f + 0.5f)];
}

uint8_t encode_dynamic_cuda(const float* map, float value) {
  int pivot = 127;
  int upper = 255;
  int lower = 0;
  float at = map[pivot];
  float above = 1.0f;
  float below = -1.0f;
  for (int step = 64; step > 0; step >>= 1) {
    if (value > at) {
      lower = pivot;
      below = at;
      pivot += step;
    } else {
      upper = pivot;
      above = at;
      pivot -= step;
    }
    at = map[pivot];
  }
  if (upper == 255) above = map[255];
  if (lower == 0) below = map[0];
  if (value > at) return static_cast<uint8_t>(value > (above + at) * 0.5f ? upper : pivot);
  return static_cast<uint8_t>(value < (below + at) * 0.5f ? lower : pivot);
}

}  // namespace quanthost::bnb4

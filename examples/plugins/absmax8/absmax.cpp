#include "absmax.hpp"

#include <algorithm>
#include <cmath>

namespace absmax8 {

float quantize_row(const float* weight, std::int64_t count, std::int8_t* out) {
  float largest = 0;
  for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(weight[i]));
  const float scale = largest / 127.0f;
  for (std::int64_t i = 0; i < count; ++i) {
    const float q = scale > 0 ? std::nearbyint(weight[i] / scale) : 0.0f;
    out[i] = static_cast<std::int8_t>(std::clamp(q, -127.0f, 127.0f));
  }
  return scale;
}

float dot(const float* x, const std::int8_t* q, std::int64_t count) {
  // Sixteen partial sums let the compiler use vectors; their order is fixed, so results do not
  // depend on threads.
  constexpr std::int64_t kLanes = 16;
  float sums[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += x[i + lane] * q[i + lane];
  float total = 0;
  for (; i < count; ++i) total += x[i] * q[i];
  for (float sum : sums) total += sum;
  return total;
}

void add_scaled(const std::int8_t* q, float factor, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] += factor * q[i];
}

}  // namespace absmax8

// Two products with a triangular factor, strip by strip of rows; what is zero is left out.
#include "algorithm/correction.hpp"

#include <algorithm>

#include "algorithm/row_kernels.hpp"

namespace quanthost::gptq {
namespace {

constexpr std::int64_t kRows = 64;   // of a strip
constexpr std::int64_t kBlock = 64;  // columns, or terms of a sum, at a time

std::vector<float> transposed(std::span<const float> a, std::int64_t n) {
  std::vector<float> out(a.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      out[static_cast<std::size_t>(j * n + i)] = a[static_cast<std::size_t>(i * n + j)];
  return out;
}

struct Operands {
  const float *drift, *upper, *lower;  // lower: upperᵀ
  std::int64_t n;
  float alpha;
};

// Rows [first, last) of the correction, into `out`, which is zero.
void correct_strip(const Operands& o, std::int64_t first, std::int64_t last, float* out) {
  const std::int64_t n = o.n, rows = last - first;
  std::vector<float> moved(static_cast<std::size_t>(rows * n));  // -drift · Uᵀ
  for (std::int64_t j = first / kBlock * kBlock; j < n; j += kBlock)
    for (std::int64_t k = j; k < n; k += kBlock)
      row_kernels().subtract_products({moved.data() + j, n, rows, std::min(kBlock, n - j),
                                       o.drift + first * n + k, n, std::min(kBlock, n - k),
                                       o.lower + k * n + j, n});
  for (std::int64_t r = 0; r < rows; ++r) {
    float* row = moved.data() + r * n;
    std::fill(row, row + first + r + 1, 0.0f);
    for (std::int64_t j = first + r + 1; j < n; ++j) row[j] *= o.alpha;
  }
  for (std::int64_t k = first / kBlock * kBlock; k < n; k += kBlock)
    row_kernels().subtract_products({out + first * n + k, n, rows, n - k, moved.data() + k, n,
                                     std::min(kBlock, n - k), o.upper + k * n + k, n});
}

}  // namespace

std::vector<float> correction_of(std::span<const float> drift, std::span<const float> upper,
                                 std::int64_t n, float alpha, const ParallelFor& parallel_for) {
  const std::vector<float> lower = transposed(upper, n);
  const Operands operands{drift.data(), upper.data(), lower.data(), n, alpha};
  std::vector<float> out(drift.size());
  for_each_as_free(parallel_for, (n + kRows - 1) / kRows, [&](std::int64_t strip) {
    correct_strip(operands, strip * kRows, std::min(n, (strip + 1) * kRows), out.data());
  });
  return out;
}

}  // namespace quanthost::gptq

// With rows and columns in reverse, A = M Mᵀ (Cholesky) becomes A = R Rᵀ with an upper R, and
// U = R⁻¹: one factorization and one triangular inverse, without A⁻¹ in between.
#include "algorithm/cholesky.hpp"

#include <algorithm>
#include <cmath>

#include "algorithm/row_kernels.hpp"

namespace quanthost::gptq {
namespace {

constexpr std::int64_t kBlock = 64;  // columns factored at a time
constexpr std::int64_t kStrip = 64;  // columns of the inverse at a time
constexpr std::int64_t kRows = 16;   // that share what they read

struct Square {
  float* values;
  std::int64_t n;
  float* row(std::int64_t i) const { return values + i * n; }
};

float solved(const float* row, const float* pivot_row, std::int64_t begin, std::int64_t j) {
  float value = row[j];
  for (std::int64_t p = begin; p < j; ++p) value -= row[p] * pivot_row[p];
  return value;
}

bool factor_diagonal(const Square& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t j = begin; j < end; ++j) {
    const float pivot = solved(a.row(j), a.row(j), begin, j);
    if (!(pivot > 0.0f) || !std::isfinite(pivot)) return false;
    a.row(j)[j] = std::sqrt(pivot);
    for (std::int64_t i = j + 1; i < end; ++i)
      a.row(i)[j] = solved(a.row(i), a.row(j), begin, j) / a.row(j)[j];
  }
  return true;
}

// The rows below a factored diagonal block, and their transpose for the update.
void solve_panel(const Square& a, std::int64_t begin, std::int64_t end,
                 std::vector<float>& transposed, const ParallelFor& parallel_for) {
  const std::int64_t below = a.n - end;
  transposed.resize(static_cast<std::size_t>((end - begin) * below));
  parallel_for((below + kStrip - 1) / kStrip, [&](std::int64_t first, std::int64_t last) {
    const std::int64_t from = first * kStrip, to = std::min(below, last * kStrip);
    for (std::int64_t j = begin; j < end; ++j) {
      float* column = transposed.data() + (j - begin) * below;
      for (std::int64_t i = from; i < to; ++i) column[i] = a.row(end + i)[j];
      row_kernels().subtract_products({column + from, below, 1, to - from, a.row(j) + begin, a.n,
                                       j - begin, transposed.data() + from, below});
      const float pivot = a.row(j)[j];
      for (std::int64_t i = from; i < to; ++i) a.row(end + i)[j] = column[i] /= pivot;
    }
  });
}

// Writes into the upper triangle too, which is not read.
void update_trailing(const Square& a, std::int64_t begin, std::int64_t end,
                     const std::vector<float>& transposed, const ParallelFor& parallel_for) {
  const std::int64_t below = a.n - end, strips = (below + kRows - 1) / kRows;
  for_each_as_free(parallel_for, strips, [&](std::int64_t task) {
    const std::int64_t first = (strips - 1 - task) * kRows, last = std::min(below, first + kRows);
    float* rows = a.row(end + first);
    row_kernels().subtract_products({rows + end, a.n, last - first, last, rows + begin, a.n,
                                     end - begin, transposed.data(), below});
  });
}

// The lower Cholesky factor in place; the upper triangle is not read.
bool factor_lower(const Square& a, const ParallelFor& parallel_for) {
  std::vector<float> transposed;
  for (std::int64_t begin = 0; begin < a.n; begin += kBlock) {
    const std::int64_t end = std::min(a.n, begin + kBlock);
    if (!factor_diagonal(a, begin, end)) return false;
    solve_panel(a, begin, end, transposed, parallel_for);
    update_trailing(a, begin, end, transposed, parallel_for);
  }
  return true;
}

// Columns [begin, end) of the inverse of the lower `m`, written to `upper` in reverse.
void invert_strip(const Square& m, std::int64_t begin, std::int64_t end, float* upper) {
  const std::int64_t width = end - begin;
  std::vector<float> strip(static_cast<std::size_t>((m.n - begin) * width));
  const auto row_of = [&](std::int64_t i) { return strip.data() + (i - begin) * width; };
  const auto subtract = [&](std::int64_t i, std::int64_t rows, std::int64_t from, std::int64_t to) {
    row_kernels().subtract_products(
        {row_of(i), width, rows, width, m.row(i) + from, m.n, to - from, row_of(from), width});
  };
  for (std::int64_t i = begin; i < end; ++i) row_of(i)[i - begin] = 1.0f;
  for (std::int64_t first = begin; first < m.n; first += kRows) {
    const std::int64_t last = std::min(m.n, first + kRows);
    subtract(first, last - first, begin, first);
    for (std::int64_t i = first; i < last; ++i) {
      subtract(i, 1, first, i);
      float* x = row_of(i);
      for (std::int64_t j = 0; j < width; ++j) x[j] /= m.row(i)[i];
      float* out = upper + (m.n - 1 - i) * m.n;
      for (std::int64_t j = begin; j < std::min(i + 1, end); ++j) out[m.n - 1 - j] = x[j - begin];
    }
  }
}

}  // namespace

std::optional<std::vector<float>> inverse_upper_factor(std::span<const float> a, std::int64_t n,
                                                       const ParallelFor& parallel_for) {
  std::vector<float> reversed(a.rbegin(), a.rend());
  const Square m{reversed.data(), n};
  if (!factor_lower(m, parallel_for)) return std::nullopt;
  std::vector<float> upper(a.size());
  for_each_as_free(parallel_for, (n + kStrip - 1) / kStrip, [&](std::int64_t s) {
    invert_strip(m, s * kStrip, std::min(n, (s + 1) * kStrip), upper.data());
  });
  return upper;
}

}  // namespace quanthost::gptq

// With rows and columns in reverse, A = M Mᵀ (Cholesky) becomes A = R Rᵀ with an upper R, and
// U = R⁻¹: one factorization and one triangular inverse, without A⁻¹ in between.
#include "algorithm/cholesky.hpp"

#include <algorithm>
#include <cmath>

#include "algorithm/rows.hpp"

namespace quanthost::gptq {
namespace {

constexpr std::int64_t kBlock = 64;  // columns factored at a time
constexpr std::int64_t kTile = 512;  // columns of the trailing update at a time
constexpr std::int64_t kStrip = 64;  // columns of the inverse at a time

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
  parallel_for(below, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = end + first; i < end + last; ++i)
      for (std::int64_t j = begin; j < end; ++j) {
        a.row(i)[j] = solved(a.row(i), a.row(j), begin, j) / a.row(j)[j];
        transposed[static_cast<std::size_t>((j - begin) * below + i - end)] = a.row(i)[j];
      }
  });
}

void update_trailing(const Square& a, std::int64_t begin, std::int64_t end,
                     const std::vector<float>& transposed, const ParallelFor& parallel_for) {
  const std::int64_t below = a.n - end;
  parallel_for(below, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t tile = 0; tile < last; tile += kTile)
      for (std::int64_t i = first; i < last; ++i) {
        float* row = a.row(end + i);
        const std::int64_t stop = std::min(i + 1, tile + kTile);
        for (std::int64_t p = begin; p < end; ++p) {
          const float* column = transposed.data() + (p - begin) * below;
          subtract_scaled(row + end + tile, column + tile, row[p], stop - tile);
        }
      }
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
  for (std::int64_t i = begin; i < m.n; ++i) {
    float* x = strip.data() + (i - begin) * width;
    if (i < end) x[i - begin] = 1.0f;
    for (std::int64_t p = begin; p < i; ++p) {
      const float* solved_row = strip.data() + (p - begin) * width;
      subtract_scaled(x, solved_row, m.row(i)[p], width);
    }
    for (std::int64_t j = 0; j < width; ++j) x[j] /= m.row(i)[i];
    float* out = upper + (m.n - 1 - i) * m.n;
    for (std::int64_t j = begin; j < std::min(i + 1, end); ++j) out[m.n - 1 - j] = x[j - begin];
  }
}

}  // namespace

std::optional<std::vector<float>> inverse_upper_factor(std::span<const float> a, std::int64_t n,
                                                       const ParallelFor& parallel_for) {
  std::vector<float> reversed(a.rbegin(), a.rend());
  const Square m{reversed.data(), n};
  if (!factor_lower(m, parallel_for)) return std::nullopt;
  std::vector<float> upper(a.size());
  parallel_for((n + kStrip - 1) / kStrip, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t s = first; s < last; ++s)
      invert_strip(m, s * kStrip, std::min(n, (s + 1) * kStrip), upper.data());
  });
  return upper;
}

}  // namespace quanthost::gptq

// Accumulation of the Hessian.
#include "algorithm/hessian.hpp"

#include <algorithm>
#include <cmath>
#include <quanthost/plugin/error.hpp>
#include <string>

namespace quanthost::gptq {

namespace {
// Tokens that are summed on their own before they join the total: the sum of many small values
// into a large one loses fewer bits so.
constexpr std::int64_t kTokenTile = 256;
}  // namespace

Hessian::Hessian(std::int64_t columns)
    : columns_(columns), upper_(static_cast<std::size_t>(columns * columns)) {}

Hessian::Hessian(std::int64_t columns, std::int64_t samples, std::span<const float> matrix)
    : columns_(columns), samples_(samples), upper_(matrix.begin(), matrix.end()) {
  if (matrix.size() != static_cast<std::size_t>(columns * columns))
    throw qh::Error(QH_ERR_VALUE, "a Hessian of " + std::to_string(columns) + " columns has " +
                                      std::to_string(matrix.size()) + " elements");
}

void Hessian::add(std::span<const float> inputs, std::int64_t tokens, std::int64_t samples,
                  const ParallelFor& parallel_for) {
  if (samples <= 0 || tokens < 0 || inputs.size() != static_cast<std::size_t>(tokens * columns_))
    throw qh::Error(QH_ERR_VALUE, "calibration inputs have " + std::to_string(inputs.size()) +
                                      " elements; needed are " + std::to_string(tokens) + " x " +
                                      std::to_string(columns_) + " of at least one sample");
  const auto before = static_cast<float>(samples_);
  samples_ += samples;
  const auto total = static_cast<float>(samples_);
  const float keep = before / total, weight = std::sqrt(2.0f / total);
  std::vector<float> scaled(inputs.size());
  std::transform(inputs.begin(), inputs.end(), scaled.begin(), [=](float x) { return weight * x; });
  parallel_for(columns_, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> sums(static_cast<std::size_t>(columns_));
    for (std::int64_t i = begin; i < end; ++i) {
      float* row = upper_.data() + i * columns_;
      for (std::int64_t j = i; j < columns_; ++j) row[j] *= keep;
      for (std::int64_t first = 0; first < tokens; first += kTokenTile) {
        std::fill(sums.begin() + i, sums.end(), 0.0f);
        for (std::int64_t t = first; t < std::min(tokens, first + kTokenTile); ++t) {
          const float* x = scaled.data() + t * columns_;
          for (std::int64_t j = i; j < columns_; ++j)
            sums[static_cast<std::size_t>(j)] += x[i] * x[j];
        }
        for (std::int64_t j = i; j < columns_; ++j) row[j] += sums[static_cast<std::size_t>(j)];
      }
    }
  });
}

std::vector<float> Hessian::matrix() const {
  std::vector<float> full = upper_;
  for (std::int64_t i = 0; i < columns_; ++i)
    for (std::int64_t j = 0; j < i; ++j)
      full[static_cast<std::size_t>(i * columns_ + j)] =
          upper_[static_cast<std::size_t>(j * columns_ + i)];
  return full;
}

}  // namespace quanthost::gptq

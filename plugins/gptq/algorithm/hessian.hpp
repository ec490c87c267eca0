// The Hessian of a layer's squared output error: what the calibration inputs say about which
// weights matter.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "algorithm/parallel.hpp"

namespace quanthost::gptq {

// 2/n · XᵀX over all inputs X [tokens, columns], n counting samples. Layers with the same input
// share one. The factor cancels but where a column has no input and gets a diagonal of 1: AutoGPTQ
// counts sequences as samples, gptqmodel tokens.
class Hessian {
 public:
  explicit Hessian(std::int64_t columns);
  // One that was summed elsewhere: the full symmetric matrix, row-major.
  Hessian(std::int64_t columns, std::int64_t samples, std::span<const float> matrix);

  // Adds `tokens` inputs, row after row, that came from `samples` samples.
  void add(std::span<const float> inputs, std::int64_t tokens, std::int64_t samples,
           const ParallelFor& parallel_for);

  std::int64_t columns() const { return columns_; }
  std::int64_t samples() const { return samples_; }
  // The full symmetric matrix, row-major.
  std::vector<float> matrix() const;

 private:
  std::int64_t columns_;
  std::int64_t samples_ = 0;
  std::vector<float> upper_;  // [columns, columns]; below the diagonal nothing is kept
};

}  // namespace quanthost::gptq

// How far a layer's inputs have drifted from those of the original model, for GPTAQ: summed on
// exec's device through qh.linalg/1.
#pragma once

#include <quanthost/plugin/host.hpp>
#include <vector>

namespace quanthost::gptq {

// 2/n · (X₀ - X)ᵀX over the inputs X and the original model's X₀, n counting samples as
// InputHessian does.
class InputDrift {
 public:
  explicit InputDrift(std::int64_t columns) : columns_(columns) {}

  // `original` null: nothing is known of these samples, and they count as not drifted.
  void add(const qh::Exec&, qh::TensorView input, const qh_tensor* original, std::uint64_t samples);
  // Empty where nothing drifted.
  std::vector<float> matrix(const qh::Exec&) const;

 private:
  std::int64_t columns_;
  std::int64_t samples_ = 0, summed_ = 0;  // summed_: what sum_ is normalized for
  qh::Tensor sum_;                         // float32 [columns, columns]; none: zeros
};

}  // namespace quanthost::gptq

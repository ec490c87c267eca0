// The Hessian of a layer, summed on exec's device by its kernel package, or where that leaves it
// out through qh.linalg/1.
#pragma once

#include <quanthost/plugin/host.hpp>
#include <vector>

#include "algorithm/hessian.hpp"
#include "quantizer/kernel_packages.hpp"

namespace quanthost::gptq {

// 2/n · XᵀX over the inputs, as algorithm/hessian.hpp has it.
class InputHessian {
 public:
  // `package` outlives this object.
  InputHessian(const qh::Exec&, const KernelPackage& package, std::int64_t columns);

  void add(const qh::Exec&, qh::TensorView input, std::uint64_t samples);
  std::int64_t samples() const { return samples_; }
  std::int64_t columns() const { return columns_; }
  // The identity where no input came: every column counts the same then.
  Hessian for_solver(const qh::Exec&) const;
  // The summed squares of X·rowᵀ over the rows of [rows, columns], but for the factor 2/n: how much
  // the rows move the layer's outputs.
  double output_energy(const qh::Exec&, const std::vector<float>& rows) const;

 private:
  const KernelPackage& package_;
  std::int64_t columns_;
  std::int64_t samples_ = 0;
  qh::Tensor sum_;  // float32 [columns, columns]
};

}  // namespace quanthost::gptq

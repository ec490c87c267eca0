// What optimum-quanto's modules have in common here: activations, and an entry of the quantization
// map.
#pragma once

#include "quantizer/activations.hpp"
#include "quantizer/qmap.hpp"

namespace quanthost::quanto {

class QModule : public qh::Module {
 public:
  QModule(const qh::Host& host, KernelPackages& packages, Activations activations)
      : qh::Module(host), packages_(packages), activations_(activations) {}

  virtual MapEntry map_entry() const = 0;
  Activations& activations() { return activations_; }

 protected:
  const KernelPackage& kernels(const qh::Exec& exec) const {
    return packages_.for_device(exec.device_kind());
  }

  KernelPackages& packages_;  // outlives the module
  Activations activations_;
};

// A copy on exec's device; nothing stays nothing.
inline void move_tensor(const qh::Exec& exec, qh::Tensor& tensor) {
  if (!tensor) return;
  qh::Tensor moved = exec.allocate(tensor.view().dtype(), tensor.view().shape());
  exec.copy(tensor.abi(), moved.abi());
  tensor = std::move(moved);
}

}  // namespace quanthost::quanto

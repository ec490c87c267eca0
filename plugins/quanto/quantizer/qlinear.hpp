// optimum-quanto's QLinear: a linear layer with a quantized weight, and quantized activations where
// the checkpoint has them.
#pragma once

#include "quantizer/weighted_module.hpp"

namespace quanthost::quanto {

class QLinear final : public WeightedModule {
 public:
  static constexpr const char* kClassName = "QLinear";
  static constexpr std::uint32_t kFlags = QH_MODULE_LINEAR;

  using WeightedModule::WeightedModule;

  qh::ModuleInfo describe() const override;
  void forward(const qh::Exec&, const qh_tensor* inputs, std::uint32_t count,
               qh::TensorView output) override;
  void backward_input(const qh::Exec&, qh::TensorView grad_output, qh::TensorView input,
                      qh::TensorView grad_input) override;
  qh::Tensor dequantize(const qh::Exec&, qh::Dtype dtype) override;

 private:
  void forward_quantized(const qh::Exec&, const qh_tensor& input, qh::TensorView output);
  void multiply(const qh::Exec&, const Activations::Codes&, qh::TensorView output);
  void multiply_densely(const qh::Exec&, const Activations::Codes&, qh::TensorView output);
};

}  // namespace quanthost::quanto

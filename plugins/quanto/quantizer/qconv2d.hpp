// optimum-quanto's QConv2d: a convolution with a quantized weight. Its input stays a float, as
// there.
#pragma once

#include "quantizer/weighted_module.hpp"

namespace quanthost::quanto {

class QConv2d final : public WeightedModule {
 public:
  static constexpr const char* kClassName = "QConv2d";

  QConv2d(const qh::Host& host, KernelPackages& packages, RecentScales& recent,
          const WeightSpec& spec, const qh_conv2d& geometry)
      : WeightedModule(host, packages, recent, spec), geometry_(geometry) {}

  qh::ModuleInfo describe() const override;
  std::pair<qh::Dtype, std::vector<std::int64_t>> output_info(const qh_tensor* inputs,
                                                              std::uint32_t count) override;
  void forward(const qh::Exec&, const qh_tensor* inputs, std::uint32_t count,
               qh::TensorView output) override;
  qh::Tensor dequantize(const qh::Exec&, qh::Dtype dtype) override;

 private:
  qh_conv2d geometry_;
};

}  // namespace quanthost::quanto

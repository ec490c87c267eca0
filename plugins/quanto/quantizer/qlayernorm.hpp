// optimum-quanto's QLayerNorm: a layer norm in floats whose output is quantized.
#pragma once

#include "quantizer/qmodule.hpp"

namespace quanthost::quanto {

struct LayerNormSpec {
  QType activations;
  std::int64_t width;
  double eps;
  bool has_weight, has_bias;
  qh::Dtype dtype;
};

class QLayerNorm final : public QModule {
 public:
  static constexpr const char* kClassName = "QLayerNorm";
  static constexpr std::uint32_t kFlags = QH_MODULE_LINEAR;  // its output has its input's shape

  QLayerNorm(const qh::Host&, KernelPackages&, RecentScales&, const LayerNormSpec&);

  MapEntry map_entry() const override { return {std::nullopt, spec_.activations}; }

  qh::ModuleInfo describe() const override;
  std::vector<qh::ParamInfo> parameters() const override;
  void set_param(const qh::Exec&, std::string_view name, qh::Tensor value) override;
  qh::Tensor get_param(const qh::Exec&, std::string_view name) override;
  void forward(const qh::Exec&, const qh_tensor* inputs, std::uint32_t count,
               qh::TensorView output) override;
  void to_device(const qh::Exec&) override;
  void state_dict(const qh::Exec&, const qh::TensorEmitter& emit) override;
  qh::ModuleMemory memory_bytes() const override;

 private:
  LayerNormSpec spec_;
  qh::Tensor weight_, bias_;
};

}  // namespace quanthost::quanto

// optimum-quanto's QLinear: a linear layer with a quantized weight, and quantized activations where
// the checkpoint has them.
#pragma once

#include "quantizer/qmodule.hpp"
#include "quantizer/qweight.hpp"

namespace quanthost::quanto {

struct LinearSpec {
  QType weights;
  std::optional<QType> activations;
  std::int64_t in_features, out_features;
  bool has_bias;
  std::int32_t optimizer;
  qh::Dtype dtype;     // of the dense weight, as the model was built
  bool pre_quantized;  // the checkpoint holds the weight's parts
};

class QLinear final : public QModule {
 public:
  static constexpr const char* kClassName = "QLinear";
  static constexpr std::uint32_t kFlags = QH_MODULE_LINEAR;

  QLinear(const qh::Host&, KernelPackages&, RecentScales&, const LinearSpec&);

  MapEntry map_entry() const override { return {spec_.weights, spec_.activations}; }

  const LinearSpec& spec() const { return spec_; }
  bool frozen() const { return weight_.complete(); }
  // Rows of the dense weight, in order; the module is frozen when it has seen all.
  void quantize_rows(const qh::Exec&, qh::TensorView dense, std::int64_t row_begin);

  qh::ModuleInfo describe() const override;
  std::vector<qh::ParamInfo> parameters() const override;
  void set_param(const qh::Exec&, std::string_view name, qh::Tensor value) override;
  qh::Tensor get_param(const qh::Exec&, std::string_view name) override;
  void prepare(const qh::Exec&) override;
  void forward(const qh::Exec&, const qh_tensor* inputs, std::uint32_t count,
               qh::TensorView output) override;
  void backward_input(const qh::Exec&, qh::TensorView grad_output, qh::TensorView input,
                      qh::TensorView grad_input) override;
  void to_device(const qh::Exec&) override;
  void state_dict(const qh::Exec&, const qh::TensorEmitter& emit) override;
  qh::Tensor dequantize(const qh::Exec&, qh::Dtype dtype) override;
  qh::ModuleMemory memory_bytes() const override;

 private:
  qh::ModuleMemory expected_memory() const;
  void expect_frozen() const;
  void forward_quantized(const qh::Exec&, const qh_tensor& input, qh::TensorView output);

  LinearSpec spec_;
  QWeight weight_;
  qh::Tensor dense_;  // of a module that is not frozen yet
  qh::Tensor bias_;
};

}  // namespace quanthost::quanto

// A module with a quantized weight: its parameters under optimum-quanto's names, dense until it is
// frozen, then in parts.
#pragma once

#include "quantizer/qmodule.hpp"
#include "quantizer/qweight.hpp"

namespace quanthost::quanto {

struct WeightSpec {
  QType weights;
  std::optional<QType> activations;
  std::vector<std::int64_t> shape;  // of the dense weight, outputs first
  bool has_bias;
  std::int32_t optimizer;
  qh::Dtype dtype;     // of the dense weight, as the model was built
  bool pre_quantized;  // the checkpoint holds the weight's parts
};

class WeightedModule : public QModule {
 public:
  WeightedModule(const qh::Host&, KernelPackages&, RecentScales&, const WeightSpec&);

  MapEntry map_entry() const override { return {spec_.weights, spec_.activations}; }

  const WeightSpec& spec() const { return spec_; }
  bool frozen() const { return weight_.complete(); }
  // Rows of the dense weight, in order; the module is frozen when it has seen all.
  void quantize_rows(const qh::Exec&, qh::TensorView dense, std::int64_t row_begin);

  std::vector<qh::ParamInfo> parameters() const override;
  void set_param(const qh::Exec&, std::string_view name, qh::Tensor value) override;
  qh::Tensor get_param(const qh::Exec&, std::string_view name) override;
  void prepare(const qh::Exec&) override;
  void to_device(const qh::Exec&) override;
  void state_dict(const qh::Exec&, const qh::TensorEmitter& emit) override;
  qh::ModuleMemory memory_bytes() const override;

 protected:
  bool has_all_parts() const;
  void expect_frozen() const;
  // Of a layer that is run: a weight that came without quantization is quantized first.
  void freeze(const qh::Exec&);

  WeightSpec spec_;
  QWeight weight_;
  qh::Tensor dense_;  // of a module that is not frozen yet
  qh::Tensor bias_;

 private:
  qh::ModuleMemory expected_memory() const;
};

}  // namespace quanthost::quanto

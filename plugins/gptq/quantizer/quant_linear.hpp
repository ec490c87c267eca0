// A linear layer with a GPTQ weight, under the names that checkpoints give its parts.
#pragma once

#include <optional>
#include <quanthost/plugin/module.hpp>

#include "quantizer/kernel_packages.hpp"
#include "quantizer/packed_layer.hpp"
#include "quantizer/stored_format.hpp"

namespace quanthost::gptq {

struct LinearSpec {
  int bits;
  std::int64_t inputs, outputs, groups;
  bool has_bias;
  qh::Dtype dtype;        // of the dense weight, as the model was built
  StoredAs stored;        // how a checkpoint holds the parts; loading may find out better
  bool has_g_idx = true;  // false: the checkpoint leaves it out, rows are grouped in order
  std::int64_t group_size = -1;
};

// Parts come in as a checkpoint holds them (set_param) and wait until prepare() or
// finish_loading() puts them into the kernels' order, once: rows sorted by group, continuous words,
// zeros as they are. state_dict() goes the way back, bit by bit.
class QuantLinear final : public qh::Module {
 public:
  static constexpr const char* kClassName = "QuantLinear";
  static constexpr std::uint32_t kFlags = QH_MODULE_LINEAR;

  // `packages` outlives the module.
  QuantLinear(const qh::Host&, KernelPackages& packages, const LinearSpec&);

  const LinearSpec& spec() const { return spec_; }
  // The format that the loaded zeros show by themselves, if all of them are symmetric ones.
  std::optional<ZeroFormat> zeros_shown(const qh::Exec&) const;
  // Takes the loaded parts for what `stored` says.
  void finish_loading(const qh::Exec&, StoredAs stored);
  // What state_dict() writes from here on; the parts are in their place already.
  void save_as(StoredAs stored) { spec_.stored = stored; }
  // Takes a layer that was quantized here.
  void take(const qh::Exec&, const PackedLayer& layer);

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
  qh::Tensor bias(const qh::Exec&) const;  // null where the layer has none

 private:
  struct Parts {
    qh::Tensor qweight, qzeros, scales, g_idx;
    bool complete() const { return qweight && qzeros && scales && g_idx; }
  };

  qh::ParamInfo info(std::string_view name) const;
  qh::Tensor& part(std::string_view name);
  bool all_loaded() const;
  void sort_rows(const qh::Exec&);
  // What state_dict gives; `order` is empty where the rows are not sorted.
  qh::Tensor stored_qweight(const qh::Exec&, const std::vector<std::int32_t>& order) const;
  qh::Tensor stored_qzeros(const qh::Exec&) const;
  qh::Tensor stored_g_idx(const qh::Exec&, const std::vector<std::int32_t>& order) const;
  qh_gptq_weight weight() const;
  void expect_ready() const;
  const KernelPackage& kernels(const qh::Exec& exec) {
    return packages_.for_device(exec.device_kind());
  }

  KernelPackages& packages_;
  LinearSpec spec_;
  Parts loaded_;            // as the checkpoint holds them, until they are finished
  Parts ready_;             // as the kernels want them
  qh::Tensor input_order_;  // set when ready_'s rows are sorted
  qh::Tensor bias_;
};

}  // namespace quanthost::gptq

// The quantizer: transformers' Bnb4BitHfQuantizer, slot by slot.
#ifndef QUANTHOST_PLUGINS_BNB4_QUANTIZER_QUANTIZER_HPP
#define QUANTHOST_PLUGINS_BNB4_QUANTIZER_QUANTIZER_HPP

#include <memory>
#include <quanthost/plugin.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/bnb4/quantizer/config.hpp"
#include "plugins/bnb4/quantizer/kernel_set.hpp"
#include "plugins/bnb4/quantizer/linear4bit.hpp"

namespace quanthost::bnb4 {

class Bnb4Quantizer : public qh::Quantizer {
 public:
  Bnb4Quantizer(const qh::Host& host, const qh_create_args& args);

  void validate_environment(const qh::Environment& environment, const Report& report) override;
  qh::Dtype update_torch_dtype(qh::Dtype requested) override;
  std::optional<qh::DeviceMap> update_device_map(std::optional<qh::DeviceMap> map) override;
  qh::Dtype adjust_target_dtype(qh::Dtype dtype) override;
  qh::MemoryLimits adjust_max_memory(qh::MemoryLimits limits) override;

  void process_before_load(const qh::Exec& exec, qh::Model& model, const qh::DeviceMap& map,
                           const std::vector<std::string>& keep_in_fp32) override;
  std::vector<std::string> update_unexpected_keys(qh::Model& model, std::vector<std::string> keys,
                                                  std::string_view prefix) override;
  double param_element_size(qh::Model& model, std::string_view name, qh::TensorView param) override;
  bool check_quantized_param(qh::Model& model, const qh::ParamQuery& query) override;
  void create_quantized_param(const qh::Exec& exec, qh::Model& model, qh::ParamArgs args) override;

  bool is_serializable() override;
  bool is_trainable() override { return true; }
  void dequantize(const qh::Exec& exec, qh::Model& model, qh::Dtype dtype) override;
  std::string saved_config(qh::Model&) override { return bnb4::saved_config(config); }

 private:
  void check_offload(const qh::DeviceMap& map) const;
  void replace_linear(qh::Model& model, const qh::ModuleDesc& desc);
  void load_stored(const qh::Exec& exec, qh::Model& model, Linear4bit& layer, qh::ParamArgs& args);

  Options options_;
  std::string version_;  // of the bitsandbytes package in this session
  std::vector<std::string> devices_;
  std::shared_ptr<KernelSet> kernels_ = std::make_shared<KernelSet>();
  std::vector<std::string> transposed_;  // modules that replaced a Conv1D, sorted
};

}  // namespace quanthost::bnb4

#endif

// transformers' QuantoHfQuantizer, and what it leaves out: saving, loading what was saved, and a
// gradient.
#pragma once

#include <quanthost/plugin/quantizer.hpp>

#include "quantizer/options.hpp"
#include "quantizer/qconv2d.hpp"
#include "quantizer/qlayernorm.hpp"
#include "quantizer/qlinear.hpp"

namespace quanthost::quanto {

class QuantoQuantizer final : public qh::Quantizer {
 public:
  QuantoQuantizer(const qh::Host&, const qh_create_args&);

  void validate_environment(const qh::Environment&, const Report&) override;
  std::optional<qh::DeviceMap> update_device_map(std::optional<qh::DeviceMap>) override;
  qh::Dtype adjust_target_dtype(qh::Dtype) override;
  qh::MemoryLimits adjust_max_memory(qh::MemoryLimits) override;
  void process_before_load(const qh::Exec&, qh::Model&, const qh::DeviceMap&,
                           const std::vector<std::string>& keep_in_fp32) override;
  std::vector<std::string> update_missing_keys(qh::Model&, std::vector<std::string> keys,
                                               std::string_view prefix) override;
  double param_element_size(qh::Model&, std::string_view name, qh::TensorView param) override;
  bool check_quantized_param(qh::Model&, const qh::ParamQuery&) override;
  std::int64_t row_granularity(qh::Model&, std::string_view name) override;
  void create_quantized_param(const qh::Exec&, qh::Model&, qh::ParamArgs) override;
  void process_after_load(const qh::Exec&, qh::Model&) override;
  bool is_serializable() override { return true; }
  bool is_trainable() override { return true; }
  void dequantize(const qh::Exec&, qh::Model&, qh::Dtype) override;
  std::string saved_config(qh::Model&) override;
  std::vector<std::pair<std::string, std::string>> saved_files(qh::Model&) override;

 private:
  // The module whose weight is quantized that a parameter belongs to, and its name there; null when
  // it is not one of ours.
  struct Owner {
    WeightedModule* module;
    std::string_view name;
  };
  Owner owner(qh::Model&, std::string_view name) const;
  WeightedModule* weighted_module(qh::Model&, std::string_view name) const;
  // What the module becomes; nothing: it stays.
  std::optional<MapEntry> entry_for(qh::Model&, const qh::ModuleDesc&,
                                    const std::optional<QuantizationMap>&) const;
  void replace(qh::Model&, const qh::ModuleDesc&, const MapEntry&, bool stored);
  void replace_norm(qh::Model&, const qh::ModuleDesc&, QType activations);
  std::vector<std::pair<std::string, QModule*>> our_modules(qh::Model&) const;

  Options options_;
  KernelPackages packages_;
  RecentScales recent_;
};

}  // namespace quanthost::quanto

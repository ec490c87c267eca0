// transformers' GptqHfQuantizer, slot by slot.
#pragma once

#include <map>
#include <quanthost/plugin/quantizer.hpp>

#include "quantizer/options.hpp"
#include "quantizer/quant_linear.hpp"

namespace quanthost::gptq {

// The element types of the model's parameters, by full name.
std::map<std::string, qh::Dtype> dtypes_of(const qh::Model&);
// A layer as the options describe it, in the place of a dense one.
LinearSpec linear_spec(const qh::ModuleDesc&, const std::map<std::string, qh::Dtype>& dtypes,
                       const Options&);

class GptqQuantizer final : public qh::Quantizer {
 public:
  GptqQuantizer(const qh::Host&, const qh_create_args&);

  void validate_environment(const qh::Environment&, const Report&) override;
  qh::Dtype update_torch_dtype(qh::Dtype requested) override;
  std::optional<qh::DeviceMap> update_device_map(std::optional<qh::DeviceMap>) override;
  void process_before_load(const qh::Exec&, qh::Model&, const qh::DeviceMap&,
                           const std::vector<std::string>& keep_in_fp32) override;
  std::vector<std::string> update_missing_keys(qh::Model&, std::vector<std::string> keys,
                                               std::string_view prefix) override;
  void process_after_load(const qh::Exec&, qh::Model&) override;
  bool is_serializable() override { return true; }
  bool is_trainable() override { return true; }
  void dequantize(const qh::Exec&, qh::Model&, qh::Dtype) override;
  std::string saved_config(qh::Model&) override;
  std::vector<std::pair<std::string, std::string>> saved_files(qh::Model&) override;

 private:
  void check_packages(const std::vector<std::string>& devices) const;
  void check_offload(const qh::DeviceMap&) const;
  void replace_stored_layers(qh::Model&);
  void finish_stored_layers(const qh::Exec&, qh::Model&);
  std::string relabeled(const std::string& json) const;

  Options options_;
  KernelPackages packages_;
  std::optional<Format> new_label_;  // set where what is saved has another label than what was read
  std::string report_;               // of a calibration, as JSON
};

}  // namespace quanthost::gptq

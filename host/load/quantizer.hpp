// The C++ face of one plugin's quantizer: every slot as a function, failures as Error, each call in
// the trace.
#pragma once

#include <ATen/core/Tensor.h>
#include <quanthost/abi.h>

#include <optional>
#include <string>
#include <vector>

#include "host/load/device_map.hpp"
#include "host/load/exec.hpp"
#include "host/load/model_context.hpp"
#include "host/load/quantization_config.hpp"
#include "host/load/session.hpp"
#include "host/load/trace.hpp"

namespace quanthost {

struct Diagnostic {
  bool warning;
  std::string message;
  std::string hint;
};

enum class MapState { kAsRequested, kInferred };

class Quantizer {
 public:
  // Calls `create`. The session and the trace (which may be null) outlive the quantizer. Refuses,
  // as the base class does, a method that needs calibration and is asked to quantize a model
  // without a way to calibrate it.
  Quantizer(qh_plugin* plugin, const qh_quantizer_api& api, std::string plugin_id,
            MethodConfig config, Session& session, Trace* trace);
  ~Quantizer();
  Quantizer(const Quantizer&) = delete;
  Quantizer& operator=(const Quantizer&) = delete;

  const MethodConfig& config() const { return config_; }
  const std::string& plugin_id() const { return plugin_id_; }
  bool pre_quantized() const { return config_.pre_quantized; }

  std::vector<Diagnostic> validate_environment(const std::optional<DeviceMap>& map,
                                               qh_dtype torch_dtype,
                                               const std::vector<std::string>& devices,
                                               MapState state);
  qh_dtype update_torch_dtype(qh_dtype requested);
  std::optional<DeviceMap> update_device_map(const std::optional<DeviceMap>& map);
  qh_dtype adjust_target_dtype(qh_dtype dtype);
  MemoryLimits adjust_max_memory(const MemoryLimits& limits);

  void process_before_load(const Exec& exec, ModelContext& model,
                           const std::optional<DeviceMap>& map,
                           const std::vector<std::string>& keep_in_fp32);
  std::vector<std::string> update_missing_keys(ModelContext& model,
                                               const std::vector<std::string>& keys,
                                               const std::string& prefix);
  std::vector<std::string> update_unexpected_keys(ModelContext& model,
                                                  const std::vector<std::string>& keys,
                                                  const std::string& prefix);
  std::vector<std::string> update_expected_keys(ModelContext& model,
                                                const std::vector<std::string>& expected,
                                                const std::vector<std::string>& loaded);
  std::vector<std::pair<std::string, qh_dtype>> get_special_dtypes_update(ModelContext& model,
                                                                          qh_dtype dtype);
  // Nothing: the quantizer leaves it to the target dtype.
  std::optional<double> param_element_size(ModelContext& model, const ModelTensor& tensor);

  bool check_quantized_param(ModelContext& model, const std::string& name, const qh_tensor& stored,
                             const std::string& device, const DeviceMap& map);
  std::int64_t row_granularity(ModelContext& model, const std::string& name);
  struct Rows {
    std::int64_t begin, count, total;
  };
  // Gives back the checkpoint keys that were used besides `name`.
  std::vector<std::string> create_quantized_param(const Exec& exec, ModelContext& model,
                                                  const std::string& name, at::Tensor value,
                                                  const std::string& target_device, Rows rows);

  void process_after_load(const Exec& exec, ModelContext& model);
  bool is_serializable() { return fact("is_serializable", api_.is_serializable); }
  bool is_trainable() { return fact("is_trainable", api_.is_trainable); }
  bool is_compileable() { return fact("is_compileable", api_.is_compileable); }
  bool is_qat_trainable() { return fact("is_qat_trainable", api_.is_qat_trainable); }
  void dequantize(const Exec& exec, ModelContext& model, qh_dtype dtype);

  // Nothing: every module's own state is to be saved.
  struct State {
    NamedTensors tensors;
    std::vector<std::pair<std::string, std::string>> metadata;
  };
  std::optional<State> get_state_dict_and_metadata(const Exec& exec, ModelContext& model);
  OrderedJson saved_config(ModelContext& model);
  std::vector<std::pair<std::string, std::string>> saved_files(ModelContext& model);

 private:
  template <typename Body>
  void call(const char* slot, Json args, Body&& body);
  template <typename Body>
  bool call_or_default(const char* slot, Json args, Body&& body);  // false: the host does it
  bool fact(const char* slot, qh_status (*question)(qh_quantizer*, std::int32_t*));

  const std::string plugin_id_;
  const qh_quantizer_api api_;
  const MethodConfig config_;
  Trace* const trace_;
  qh_quantizer* self_ = nullptr;
};

}  // namespace quanthost

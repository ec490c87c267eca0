// The load pipeline: a checkpoint streams through a quantizer into a model that runs. Start reading
// at load_model().
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/load/key_report.hpp"
#include "host/load/quantizer.hpp"
#include "host/load/tensor_stream.hpp"
#include "host/plugins/plugin_host.hpp"

namespace quanthost {

struct LoadOptions {
  std::filesystem::path checkpoint;
  UserQuantization quantization;  // what --method or --quant say
  DeviceMapRequest device_map;
  std::optional<MemoryLimits> max_memory;
  std::string dtype = "auto";
  StreamLimits stream;
  std::filesystem::path
      offload_folder;  // for parts on disk that are not in the checkpoint as they are
  Progress* progress = nullptr;
  const CancelToken* cancel = nullptr;
  Trace* trace = nullptr;
};

// Where a tensor of the checkpoint goes.
struct TensorPlan {
  const StoredTensor* stored;
  std::string name;    // in the model
  std::string device;  // of the map
  bool quantized;      // goes through create_quantized_param
  std::int64_t row_granularity = 0;
  std::optional<at::ScalarType> cast;  // nothing: stays as stored
};

struct LoadStats {
  double seconds = 0;
  double seconds_before_reading = 0;
  std::uint64_t bytes_read = 0;
  std::uint64_t peak_queue_bytes = 0;
  std::uint64_t model_bytes = 0;  // parameters, buffers and quantized state
};

// A model and everything it needs to run. Members are destroyed from the last to the first: modules
// before their quantizer.
class LoadedModel {
 public:
  LoadedModel() = default;
  LoadedModel(LoadedModel&&) = default;
  LoadedModel& operator=(LoadedModel&&) = delete;

  std::shared_ptr<Checkpoint> checkpoint;
  std::unique_ptr<Execs> execs;
  std::unique_ptr<Session> session;
  std::unique_ptr<Quantizer> quantizer;  // null: the model is not quantized
  std::unique_ptr<model::Model> model;
  std::unique_ptr<ModelContext> context;
  DeviceMap device_map;
  at::ScalarType dtype = at::kFloat;
  KeyReport keys;
  std::vector<Diagnostic> diagnostics;
  std::vector<TensorPlan> plan;  // in file order
  LoadStats stats;

  std::shared_ptr<Exec> exec_for(const std::string& module) const;
};

// All decisions, nothing read: the modules stand without memory, and `plan` says where each tensor
// will go.
LoadedModel plan_load(PluginHost& plugins, const LoadOptions& options);

// Reads, quantizes and places every tensor of the plan, then finishes. On failure everything is
// released.
void run_load(LoadedModel& loaded, const LoadOptions& options);

inline LoadedModel load_model(PluginHost& plugins, const LoadOptions& options) {
  LoadedModel loaded = plan_load(plugins, options);
  run_load(loaded, options);
  return loaded;
}

}  // namespace quanthost

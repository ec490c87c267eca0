// The load pipeline: a checkpoint streams through a quantizer into a model that runs. Start reading
// at load_model().
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/load/dispatch.hpp"
#include "host/load/key_report.hpp"
#include "host/load/quantizer.hpp"
#include "host/load/spool.hpp"
#include "host/load/tensor_stream.hpp"
#include "host/plugins/plugin_host.hpp"

namespace quanthost {

struct LoadOptions {
  std::filesystem::path checkpoint;
  UserQuantization quantization;
  DeviceMapRequest device_map;
  std::optional<MemoryLimits> max_memory;
  std::string dtype = "auto";
  StreamLimits stream;
  // False: nothing on the CPU is used where it lies in its file; everything is read into memory.
  bool map_files = true;
  // True: the model will only run, so a float32 model may keep matrices that are stored in a
  // smaller type as they are and widen them as it computes. The same results from half the bytes.
  bool keep_small_types = false;
  std::filesystem::path
      offload_folder;  // for parts on disk that are not in the checkpoint as they are
  // Set: the model is only to be saved. Each part that lies on the CPU goes into a file below this
  // directory as soon as it is finished, so that the model is never in memory at once.
  std::filesystem::path spool_directory;
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
  bool copied = false;  // read into memory of its own, though it could be used where it lies
};

struct LoadStats {
  double seconds_planning = 0;   // config to device map: plan_load()
  double seconds_streaming = 0;  // reading, converting, quantizing, placing
  double seconds_finishing = 0;  // after the last tensor: ties, layouts, offloads
  double seconds = 0;            // streaming and finishing: run_load()
  std::uint64_t bytes_read = 0;
  std::uint64_t peak_queue_bytes = 0;      // as the host counts them
  std::uint64_t largest_tensor_bytes = 0;  // in memory, of what passed through the queue
  std::uint64_t peak_after_streaming = 0;  // of the process, as the system counts it
  std::uint64_t spooled_bytes = 0;         // of the model, in a file and not in memory
  std::uint64_t model_bytes = 0;           // parameters, buffers and quantized state
};

// A model and everything it needs to run. Members are destroyed from the last to the first: modules
// before their quantizer.
class LoadedModel {
 public:
  LoadedModel() = default;
  LoadedModel(LoadedModel&&) = default;
  LoadedModel& operator=(LoadedModel&&) = delete;

  std::shared_ptr<Checkpoint> checkpoint;
  std::map<std::string, std::string> names;  // stored name -> the model's
  std::unique_ptr<Spool> spool;              // null: the model is in memory
  std::unique_ptr<Execs> execs;
  std::unique_ptr<Session> session;
  std::unique_ptr<Quantizer> quantizer;  // null: the model is not quantized
  std::unique_ptr<model::Model> model;
  std::unique_ptr<ModelContext> context;
  std::unique_ptr<Dispatch> dispatch;  // null: the model lies on the CPU alone
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

// The work of a load: tensors stream in file order, are moved, quantized and placed; then the model
// is finished.
#include <c10/core/GradMode.h>

#include <chrono>
#include <map>
#include <set>

#include "host/load/host_memory.hpp"
#include "host/load/loader.hpp"
#include "host/load/offload.hpp"
#include "host/load/process_memory.hpp"

namespace quanthost {
namespace {

constexpr std::uint64_t kSliceBytes = std::uint64_t{32} << 20;  // of a tensor that may come in rows

std::vector<ReadJob> read_jobs(const LoadedModel& loaded, std::uint64_t queue_bytes) {
  std::vector<ReadJob> jobs;
  for (std::size_t i = 0; i < loaded.plan.size(); ++i) {
    const TensorPlan& plan = loaded.plan[i];
    if (can_stay_in_file(plan)) continue;  // nothing is read
    auto slices = plan.row_granularity > 0
                      ? row_slices(*plan.stored, plan.row_granularity,
                                   std::min(kSliceBytes, queue_bytes), i, plan.cast)
                      : std::vector{whole_tensor(*plan.stored, i, plan.cast)};
    for (ReadJob& slice : slices) slice.passes = plan.quantized;
    jobs.insert(jobs.end(), slices.begin(), slices.end());
  }
  return jobs;
}

// Takes tensors one by one, and remembers which keys of the checkpoint a quantizer has already used
// and how much each quantized layer still waits for.
class Placer {
 public:
  Placer(LoadedModel& loaded, const LoadOptions& options, const std::vector<ReadJob>& jobs)
      : loaded_(loaded), options_(options) {
    if (!loaded.spool) return;
    for (const ReadJob& job : jobs) {
      if (PluginModule* module = module_of(job)) ++awaited_[module];
    }
  }

  void place(const ReadJob& job, at::Tensor value) {
    const TensorPlan& plan = loaded_.plan[job.tag];
    try {
      if (!consumed_.contains(plan.name)) place_planned(plan, job, std::move(value));
      if (loaded_.spool) spool_finished(job);
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::kCancelled) throw;
      throw e.within(fmt::format("tensor {} of {}", plan.stored->name(),
                                 plan.stored->file().path().filename().string()));
    }
  }

 private:
  void place_planned(const TensorPlan& plan, const ReadJob& job, at::Tensor value) {
    const std::shared_ptr<Exec> exec = loaded_.exec_for(plan.name);
    value = exec->take(value);
    if (plan.quantized) return quantize(plan, job, *exec, std::move(value));
    const Trace::Span span(options_.trace, "tensor", "place",
                           {{"name", plan.name}, {"device", plan.device}});
    if (plan.device == "disk") {
      value = offload(options_.offload_folder, plan.name, value);
    } else if (loaded_.spool && plan.device == "cpu") {
      value = loaded_.spool->keep({{plan.name, value}}).front().second;
    }
    loaded_.context->set_param(plan.name, std::move(value));
  }

  void quantize(const TensorPlan& plan, const ReadJob& job, const Exec& exec, at::Tensor value) {
    const Trace::Span span(options_.trace, "tensor", "quantize",
                           {{"name", plan.name}, {"device", exec.device()}});
    const std::int64_t total = plan.stored->shape().empty() ? 1 : plan.stored->shape()[0];
    for (std::string& key : loaded_.quantizer->create_quantized_param(
             exec, *loaded_.context, plan.name, std::move(value), exec.device(),
             {job.row_begin, job.row_count, total})) {
      consumed_.insert(std::move(key));
    }
  }

  PluginModule* module_of(const ReadJob& job) const {
    // A parameter of a plugin's module may have dots in its own name.
    std::string name = loaded_.plan[job.tag].name;
    for (auto dot = name.rfind('.'); dot != std::string::npos; dot = name.rfind('.')) {
      name.resize(dot);
      if (PluginModule* module = loaded_.context->plugin_module(name)) return module;
    }
    return nullptr;
  }

  void spool_finished(const ReadJob& job) {
    PluginModule* const module = module_of(job);
    if (!module || --awaited_[module] > 0 || !module->describe().loaded) return;
    if (loaded_.exec_for(module->full_name())->device() != "cpu") return;
    const Trace::Span span(options_.trace, "tensor", "spool", {{"name", module->full_name()}});
    loaded_.spool->keep_module(*module);
  }

  LoadedModel& loaded_;
  const LoadOptions& options_;
  std::set<std::string> consumed_;
  std::map<PluginModule*, std::size_t> awaited_;
};

void stream(LoadedModel& loaded, const LoadOptions& options) {
  const Trace::Span stage(options.trace, "stage", "stream");
  std::vector<ReadJob> jobs = read_jobs(loaded, options.stream.queue_bytes);
  std::uint64_t total = 0, done = 0;
  for (const ReadJob& job : jobs) total += job.stored_bytes();
  if (options.progress)
    options.progress->begin(loaded.quantizer ? "quantize" : "load", "bytes", total);
  Placer placer(loaded, options, jobs);
  TensorStream tensors(std::move(jobs), options.stream, options.cancel, options.trace);
  while (auto item = tensors.next()) {
    placer.place(item->job, std::move(item->value));
    done += item->job.stored_bytes();
    if (options.progress) options.progress->update(done, loaded.plan[item->job.tag].name);
  }
  loaded.stats.bytes_read = total;
  loaded.stats.peak_queue_bytes = tensors.peak_bytes();
  loaded.stats.largest_tensor_bytes = tensors.largest_bytes();
  if (options.progress) options.progress->end();
}

void need_memory_everywhere(LoadedModel& loaded) {
  for (const ModelTensor& tensor : loaded.context->tensors()) {
    if (tensor.plugin || !tensor.tied_to.empty()) continue;
    if (loaded.context->get_param(tensor.name).is_meta()) {
      fail(ErrorKind::kInternal, "parameter {} was given no value", tensor.name);
    }
  }
  for (const auto& module : loaded.context->plugin_modules()) {
    if (!module->describe().loaded) {
      throw Error(ErrorKind::kRuntime,
                  fmt::format("{}: the quantizer left this layer without all of its parts",
                              module->full_name()),
                  "the checkpoint may be incomplete, or the plugin has a bug");
    }
  }
}

// Each to where the device map wants it.
void move_modules(LoadedModel& loaded) {
  for (const auto& module : loaded.context->plugin_modules()) {
    const auto exec = loaded.exec_for(module->full_name());
    if (exec->device() != module->exec().device()) module->move_to(exec);
  }
}

// Where the quantizer finishes: on the device that holds all blocks; with several, on the CPU.
std::shared_ptr<Exec> exec_to_finish_on(const LoadedModel& loaded) {
  std::shared_ptr<Exec> found;
  for (std::size_t block = 0; block < loaded.model->block_count(); ++block) {
    const std::shared_ptr<Exec> exec = loaded.exec_for(loaded.model->block_name(block));
    if (found && found != exec) return loaded.execs->on("cpu");
    found = exec;
  }
  return found ? found : loaded.execs->on("cpu");
}

void finish(LoadedModel& loaded, const LoadOptions& options) {
  const Trace::Span stage(options.trace, "stage", "finish");
  loaded.model->tie_weights();
  move_modules(loaded);
  if (loaded.quantizer) {
    loaded.quantizer->process_after_load(*exec_to_finish_on(loaded), *loaded.context);
    move_modules(loaded);  // those that it made
  }
  if (options.cancel) options.cancel->check();
  need_memory_everywhere(loaded);
  for (const auto& module : loaded.context->plugin_modules()) {
    const std::string device = loaded.device_map.find(module->full_name()).value_or("cpu");
    const Trace::Span span(options.trace, "tensor", "prepare", {{"name", module->full_name()}});
    if (device == "disk") offload_module(options.offload_folder, *module);
    if (!loaded.spool) module->prepare();  // nobody will run it
  }
  if (Dispatch::needed(loaded)) loaded.dispatch = std::make_unique<Dispatch>(loaded);
  loaded.stats.model_bytes = loaded.context->bytes();
  if (loaded.spool) loaded.stats.spooled_bytes = loaded.spool->bytes();
}

// Writes the seconds of its life.
class StageClock {
 public:
  explicit StageClock(double& seconds) : seconds_(seconds) {}
  StageClock(const StageClock&) = delete;
  StageClock& operator=(const StageClock&) = delete;
  ~StageClock() {
    seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  }

 private:
  double& seconds_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

// Before anything is read: the disk needs a folder for what the checkpoint does not hold as it is.
void need_offload_folder(const LoadedModel& loaded, const LoadOptions& options) {
  if (!options.offload_folder.empty()) return;
  for (const TensorPlan& plan : loaded.plan) {
    if (plan.device == "disk" && !can_stay_in_file(plan)) fail_without_offload_folder(plan.name);
  }
}

}  // namespace

void run_load(LoadedModel& loaded, const LoadOptions& options) {
  const StageClock clock(loaded.stats.seconds);
  // Not InferenceMode: its tensors could never take part in a backward pass, and adapters train
  // around these weights.
  const c10::NoGradGuard no_gradients;
  release_idle_memory();
  need_offload_folder(loaded, options);
  if (!options.spool_directory.empty())
    loaded.spool = std::make_unique<Spool>(options.spool_directory);
  for (const TensorPlan& plan : loaded.plan) {
    if (!can_stay_in_file(plan)) continue;
    plan.stored->will_need();  // the system reads ahead while others are read here
    loaded.context->set_param(plan.name, loaded.spool
                                             ? loaded.spool->leave_in_checkpoint(*plan.stored)
                                             : tensor_in_file(*plan.stored));
  }
  {
    const StageClock streaming(loaded.stats.seconds_streaming);
    stream(loaded, options);
  }
  loaded.stats.peak_after_streaming = process_memory().peak_bytes;
  const StageClock finishing(loaded.stats.seconds_finishing);
  finish(loaded, options);
}

}  // namespace quanthost

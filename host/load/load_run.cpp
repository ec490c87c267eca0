// The work of a load: tensors stream in file order, are moved, quantized and placed; then the model
// is finished.
#include <chrono>
#include <set>

#include "host/load/host_memory.hpp"
#include "host/load/loader.hpp"
#include "host/load/offload.hpp"

namespace quanthost {
namespace {

constexpr std::uint64_t kSliceBytes = std::uint64_t{32} << 20;  // of a tensor that may come in rows

std::vector<ReadJob> read_jobs(const LoadedModel& loaded, std::uint64_t queue_bytes) {
  std::vector<ReadJob> jobs;
  for (std::size_t i = 0; i < loaded.plan.size(); ++i) {
    const TensorPlan& plan = loaded.plan[i];
    if (can_stay_in_file(plan)) continue;
    const auto slices = plan.row_granularity > 0 ? row_slices(*plan.stored, plan.row_granularity,
                                                              std::min(kSliceBytes, queue_bytes), i)
                                                 : std::vector{whole_tensor(*plan.stored, i)};
    jobs.insert(jobs.end(), slices.begin(), slices.end());
  }
  return jobs;
}

// Takes tensors one by one, and remembers which keys of the checkpoint a quantizer has already
// used.
class Placer {
 public:
  Placer(LoadedModel& loaded, const LoadOptions& options) : loaded_(loaded), options_(options) {}

  void place(const ReadJob& job, at::Tensor value) {
    const TensorPlan& plan = loaded_.plan[job.tag];
    if (consumed_.contains(plan.name)) return;
    try {
      place_planned(plan, job, std::move(value));
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::kCancelled) throw;
      throw e.within(fmt::format("tensor {} of {}", plan.stored->name(),
                                 plan.stored->file().path().filename().string()));
    }
  }

 private:
  void place_planned(const TensorPlan& plan, const ReadJob& job, at::Tensor value) {
    if (plan.cast && value.scalar_type() != *plan.cast) {
      at::Tensor converted = empty_host_tensor(value.sizes(), *plan.cast);
      converted.copy_(value);
      value = std::move(converted);
    }
    const std::shared_ptr<Exec> exec = loaded_.exec_for(plan.name);
    if (!exec->memory().is_cpu()) value = value.to(exec->memory());
    if (!plan.quantized) {
      if (plan.device == "disk") value = offload(options_.offload_folder, plan.name, value);
      loaded_.context->set_param(plan.name, std::move(value));
      return;
    }
    const Trace::Span span(options_.trace, "tensor", "quantize", {{"name", plan.name}});
    const std::int64_t total = plan.stored->shape().empty() ? 1 : plan.stored->shape()[0];
    for (std::string& key : loaded_.quantizer->create_quantized_param(
             *exec, *loaded_.context, plan.name, std::move(value), exec->device(),
             {job.row_begin, job.row_count, total})) {
      consumed_.insert(std::move(key));
    }
  }

  LoadedModel& loaded_;
  const LoadOptions& options_;
  std::set<std::string> consumed_;
};

void stream(LoadedModel& loaded, const LoadOptions& options) {
  const Trace::Span stage(options.trace, "stage", "stream");
  std::vector<ReadJob> jobs = read_jobs(loaded, options.stream.queue_bytes);
  std::uint64_t total = 0, done = 0;
  for (const ReadJob& job : jobs) total += job.bytes();
  if (options.progress)
    options.progress->begin(loaded.quantizer ? "quantize" : "load", "bytes", total);
  Placer placer(loaded, options);
  TensorStream tensors(std::move(jobs), options.stream, options.cancel, options.trace);
  while (auto item = tensors.next()) {
    placer.place(item->job, std::move(item->value));
    done += item->job.bytes();
    if (options.progress) options.progress->update(done, loaded.plan[item->job.tag].name);
  }
  loaded.stats.bytes_read = total;
  loaded.stats.peak_queue_bytes = tensors.peak_bytes();
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

void finish(LoadedModel& loaded, const LoadOptions& options) {
  const Trace::Span stage(options.trace, "stage", "finish");
  loaded.model->tie_weights();
  for (const auto& module : loaded.context->plugin_modules()) {
    const auto exec = loaded.exec_for(module->full_name());
    if (exec->device() != module->exec().device()) module->move_to(exec);
  }
  if (loaded.quantizer)
    loaded.quantizer->process_after_load(*loaded.execs->on("cpu"), *loaded.context);
  if (options.cancel) options.cancel->check();
  need_memory_everywhere(loaded);
  for (const auto& module : loaded.context->plugin_modules()) {
    const std::string device = loaded.device_map.find(module->full_name()).value_or("cpu");
    if (device == "disk") offload_module(options.offload_folder, *module);
    module->prepare();
  }
  loaded.stats.model_bytes = loaded.context->bytes();
}

}  // namespace

void run_load(LoadedModel& loaded, const LoadOptions& options) {
  const auto began = std::chrono::steady_clock::now();
  c10::InferenceMode inference;
  for (const TensorPlan& plan : loaded.plan) {
    if (can_stay_in_file(plan)) loaded.context->set_param(plan.name, tensor_in_file(*plan.stored));
  }
  stream(loaded, options);
  finish(loaded, options);
  loaded.stats.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace quanthost

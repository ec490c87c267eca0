// Loading and quantizing checkpoints through the pipeline.
#include <ATen/Parallel.h>

#include "host/api/model_state.hpp"
#include "host/checkpoint/model_config.hpp"
#include "host/load/devices.hpp"
#include "host/load/save.hpp"

namespace quanthost::api {
namespace {

quanthost::LoadOptions pipeline_options(const std::filesystem::path& folder,
                                        const LoadOptions& options) {
  quanthost::LoadOptions load;
  load.checkpoint = folder;
  load.quantization =
      user_quantization_of(options.method, options.settings, options.quantization_file);
  if (!options.device_map.empty())
    load.device_map = parse_device_map(options.device_map, default_accelerator());
  if (!options.max_memory.empty())
    load.max_memory = parse_memory_limits(options.max_memory, default_accelerator());
  load.dtype = options.dtype;
  if (options.max_queue_bytes > 0) load.stream.queue_bytes = options.max_queue_bytes;
  load.stream.readers = static_cast<unsigned>(std::min(at::get_num_threads(), 4));
  load.offload_folder = options.offload_folder;
  return load;
}

}  // namespace

void set_threads(int count) {
  if (count < 1) fail(ErrorKind::kValue, "set_threads: {} threads; at least 1 is needed", count);
  at::set_num_threads(count);
}

Model Host::load(const std::filesystem::path& model_folder, const LoadOptions& options) {
  const log::Scope logging(state_->log.get());
  need_model_folder(model_folder);
  auto out = std::make_shared<Model::State>(state_->log, options.progress, options.cancel);
  out->source = model_folder;
  quanthost::LoadOptions load = pipeline_options(model_folder, options);
  load.progress = &out->watched->progress();
  load.cancel = &out->watched->token();
  load.cancel->check();
  {
    const Turns::Turn turn(state_->turns, "host");
    out->model.emplace(plan_load(state_->plugins, load));
  }
  run_load(*out->model, load);
  out->watched->release();
  return Model(std::move(out));
}

ModelInfo Host::quantize(const std::filesystem::path& model_folder,
                         const std::filesystem::path& out_folder, const LoadOptions& options,
                         const SaveOptions& save) {
  if (options.method.empty() && options.quantization_file.empty()) {
    throw Error(ErrorKind::kValue, "quantize needs a method",
                "set LoadOptions::method or quantization_file");
  }
  Model model = load(model_folder, options);
  model.save(out_folder, save);
  return model.info();
}

}  // namespace quanthost::api

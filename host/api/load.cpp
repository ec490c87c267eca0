// Loading and quantizing checkpoints through the pipeline.
#include <ATen/Parallel.h>

#include "host/api/model_state.hpp"
#include "host/load/load_request.hpp"
#include "host/load/quantize_checkpoint.hpp"

namespace quanthost::api {
namespace {

quanthost::LoadOptions pipeline_options(const std::filesystem::path& folder,
                                        const LoadOptions& options, Watched& watched) {
  LoadRequest request;
  request.model = folder;
  request.quantization = {options.method, options.settings, options.quantization_file};
  request.device_map = options.device_map;
  request.max_memory = options.max_memory;
  request.dtype = options.dtype;
  if (options.max_queue_bytes > 0) request.max_queue = std::to_string(options.max_queue_bytes);
  request.offload_folder = options.offload_folder;
  request.map_files = options.map_files;
  quanthost::LoadOptions load = load_options(request, option_names());
  load.keep_small_types = options.keep_small_types;
  load.progress = &watched.progress();
  load.cancel = &watched.token();
  load.cancel->check();
  return load;
}

// The whole is one piece of work: the load's cancel also stops the writing, and its progress shows
// that too unless the save has one of its own.
SaveOptions saving_as_part_of(const LoadOptions& load, SaveOptions save) {
  save.progress = [cancel = load.cancel, show = save.progress ? save.progress : load.progress](
                      const ProgressReport& now) {
    return (!show || show(now)) && !cancel.cancelled();
  };
  return save;
}

}  // namespace

void set_threads(int count) {
  if (count < 1) fail(ErrorKind::kValue, "set_threads: {} threads; at least 1 is needed", count);
  at::set_num_threads(count);
}

Model Host::load(const std::filesystem::path& model_folder, const LoadOptions& options) {
  const log::Scope logging(state_->log.get());
  auto out = std::make_shared<Model::State>(state_->log, options.progress, options.cancel);
  out->source = model_folder;
  const quanthost::LoadOptions load = pipeline_options(model_folder, options, *out->watched);
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
  const log::Scope logging(state_->log.get());
  Loaded work(state_->log, options.progress, options.cancel);
  work.source = model_folder;
  const SaveOptions saving = saving_as_part_of(options, save);
  Watched writing(saving.progress, saving.cancel);
  const quanthost::LoadOptions load = pipeline_options(model_folder, options, *work.watched);
  {
    const Turns::Turn turn(state_->turns, "host");
    work.model.emplace(plan_load(state_->plugins, load));
  }
  quantize_checkpoint(*work.model, load, out_folder, save_options(saving, writing), option_names());
  return info_of(work, work.model->model->config().architecture);
}

}  // namespace quanthost::api

#include "host/cli/model_verbs/open_model.hpp"

#include <ATen/Parallel.h>

#include <chrono>

#include "host/model/weights.hpp"

namespace quanthost::cli {

void add_model_options(Verb& verb, ModelOptions& options) {
  verb.argument("model", options.path, "The model folder")
      .option("--dtype", options.dtype, "auto (as stored), float32, bfloat16 or float16")
      .option("--threads", options.threads, "Threads to compute with (default: all cores)");
}

OpenedModel open_model(Session&, const ModelOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  if (!options.threads.empty())
    at::set_num_threads(static_cast<int>(parse_integer("--threads", options.threads, 1)));
  OpenedModel out;
  out.folder = model_folder(options.path);
  out.checkpoint = std::make_shared<Checkpoint>(Checkpoint::open(out.folder));
  const model::ModelConfig config = model::read_model_config(*out.checkpoint->config());
  const at::ScalarType dtype =
      options.dtype == "auto"
          ? model::scalar_type(out.checkpoint->config_dtype().value_or(Dtype::kF32))
          : model::scalar_type(options.dtype);
  out.model = model::build_model(config, dtype);
  model::load_weights(*out.model, *out.checkpoint, dtype);
  out.load_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return out;
}

}  // namespace quanthost::cli

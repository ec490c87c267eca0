#include "host/load/save.hpp"

#include <c10/core/InferenceMode.h>

#include <set>

#include "host/base/atomic_output.hpp"
#include "host/checkpoint/checkpoint_writer.hpp"
#include "host/checkpoint/companion_files.hpp"

namespace quanthost {
namespace {

NamedTensors own_state(LoadedModel& loaded) {
  NamedTensors out;
  std::set<PluginModule*> seen;
  for (const ModelTensor& tensor : loaded.context->tensors()) {
    if (tensor.plugin) {
      if (!seen.insert(tensor.plugin).second) continue;
      for (auto& [name, value] : tensor.plugin->state_tensors()) {
        out.emplace_back(join_name(tensor.plugin->full_name(), name), std::move(value));
      }
    } else if (tensor.persistent && tensor.tied_to.empty()) {
      out.emplace_back(tensor.name, loaded.context->get_param(tensor.name));
    }
  }
  return out;
}

Json saved_config_json(LoadedModel& loaded) {
  Json config = loaded.context->config();
  config.erase("quantization_config");
  const char* dtype_key =
      config.contains("torch_dtype") && !config.contains("dtype") ? "torch_dtype" : "dtype";
  config[dtype_key] = name_of(to_qh_dtype(loaded.dtype));
  if (loaded.quantizer)
    config["quantization_config"] = Json(loaded.quantizer->saved_config(*loaded.context));
  return config;
}

void write_plain_file(const std::filesystem::path& directory, const std::string& name,
                      const std::string& text) {
  const std::filesystem::path file(name);
  if (file.empty() || file != file.filename() || name == "." || name == "..") {
    fail(ErrorKind::kValue,
         "the quantizer wants to save a file named \"{}\", which is no plain file name", name);
  }
  write_text_file(directory / file, text);
}

}  // namespace

void need_serializable(Quantizer& quantizer) {
  if (quantizer.is_serializable()) return;
  throw Error(
      ErrorKind::kValue,
      fmt::format(
          "a model quantized with {} cannot be saved: the method says it is not serializable",
          quantizer.config().spec->method),
      "quantize it when it is loaded, or choose another method");
}

void save_model(LoadedModel& loaded, const std::filesystem::path& directory,
                const SaveOptions& options) {
  const c10::InferenceMode inference;
  Quantizer* quantizer = loaded.quantizer.get();
  if (quantizer) need_serializable(*quantizer);
  std::optional<Quantizer::State> state;
  if (quantizer)
    state = quantizer->get_state_dict_and_metadata(*loaded.execs->on("cpu"), *loaded.context);
  const NamedTensors tensors = state ? std::move(state->tensors) : own_state(loaded);

  CheckpointWriterOptions writer_options;
  writer_options.max_shard_bytes = options.max_shard_bytes;
  if (state) {
    for (const auto& [key, value] : state->metadata) writer_options.metadata[key] = value;
  }
  std::vector<TensorDeclaration> declarations;
  std::uint64_t total = 0, done = 0;
  for (const auto& [name, value] : tensors) {
    declarations.push_back({name, to_dtype(value.scalar_type()), value.sizes().vec()});
    total += value.nbytes();
  }
  AtomicOutput output(directory, OutputKind::kDirectory);
  if (options.progress) options.progress->begin("save", "bytes", total);
  CheckpointWriter writer(output.path(), std::move(declarations), writer_options);
  for (const auto& [name, value] : tensors) {
    if (options.cancel) options.cancel->check();
    const at::Tensor plain = value.contiguous().cpu();
    writer.write(name, {static_cast<const std::byte*>(plain.const_data_ptr()), plain.nbytes()});
    done += plain.nbytes();
    if (options.progress) options.progress->update(done, name);
  }
  writer.finish();
  write_json_file(output.path() / "config.json", saved_config_json(loaded));
  if (quantizer) {
    for (const auto& [name, text] : quantizer->saved_files(*loaded.context))
      write_plain_file(output.path(), name, text);
  }
  copy_companion_files(loaded.checkpoint->directory(), output.path());
  output.commit();
  if (options.progress) options.progress->end();
}

void dequantize_model(LoadedModel& loaded, qh_dtype dtype) {
  if (!loaded.quantizer) {
    throw Error(ErrorKind::kValue, "the model is not quantized: there is nothing to dequantize");
  }
  const c10::InferenceMode inference;
  loaded.quantizer->dequantize(*loaded.execs->on("cpu"), *loaded.context, dtype);
  const auto left = loaded.context->plugin_modules();
  if (!left.empty()) {
    fail(ErrorKind::kRuntime, "{}: dequantize left {} quantized layers, the first is {}",
         loaded.quantizer->plugin_id(), left.size(), left.front()->full_name());
  }
  loaded.context->attributes.clear();
  loaded.quantizer.reset();
  loaded.model->tie_weights();
}

}  // namespace quanthost

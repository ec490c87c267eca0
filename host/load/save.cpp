#include "host/load/save.hpp"

#include <c10/core/InferenceMode.h>

#include <set>

#include "host/base/atomic_output.hpp"
#include "host/checkpoint/checkpoint_writer.hpp"
#include "host/checkpoint/companion_files.hpp"

namespace quanthost {
namespace {

// One part of what is saved: a plain parameter, or everything that a quantized layer stores. Asked
// for when it is written, so that no more than one part has to be in memory.
struct Part {
  std::string name;
  PluginModule* module;  // null: the parameter `name`
};

std::vector<Part> parts_of(LoadedModel& loaded) {
  std::vector<Part> out;
  std::set<PluginModule*> seen;
  for (const ModelTensor& tensor : loaded.context->tensors()) {
    if (tensor.plugin) {
      if (seen.insert(tensor.plugin).second)
        out.push_back({tensor.plugin->full_name(), tensor.plugin});
    } else if (tensor.persistent && tensor.tied_to.empty()) {
      out.push_back({tensor.name, nullptr});
    }
  }
  return out;
}

NamedTensors tensors_of(LoadedModel& loaded, const Part& part) {
  if (!part.module) return {{part.name, loaded.context->get_param(part.name)}};
  NamedTensors out;
  try {
    for (auto& [name, value] : part.module->state_tensors())
      out.emplace_back(join_name(part.name, name), std::move(value));
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kCancelled || !loaded.quantizer) throw;
    throw e.within(loaded.quantizer->plugin_id());
  }
  return out;
}

// All tensors to save, part by part: those that the quantizer gives in one piece, or the model's
// own.
class SavedState {
 public:
  explicit SavedState(LoadedModel& loaded) : loaded_(loaded) {
    if (loaded.quantizer)
      given_ =
          loaded.quantizer->get_state_dict_and_metadata(*loaded.execs->on("cpu"), *loaded.context);
    if (!given_) parts_ = parts_of(loaded);
  }

  template <typename Visit>
  void for_each(const Visit& visit) const {
    if (given_) {
      for (const auto& [name, value] : given_->tensors) visit(name, value);
    }
    for (const Part& part : parts_) {
      for (const auto& [name, value] : tensors_of(loaded_, part)) {
        visit(name, value);
        if (loaded_.spool) loaded_.spool->done_with(value);
      }
    }
  }

  std::vector<std::pair<std::string, std::string>> metadata() const {
    return given_ ? given_->metadata : std::vector<std::pair<std::string, std::string>>{};
  }

 private:
  LoadedModel& loaded_;
  std::optional<Quantizer::State> given_;
  std::vector<Part> parts_;
};

void write_tensors(const SavedState& state, CheckpointWriter& writer, const SaveOptions& options) {
  std::uint64_t done = 0;
  state.for_each([&](const std::string& name, const at::Tensor& value) {
    if (options.cancel) options.cancel->check();
    const Trace::Span span(options.trace, "tensor", "write",
                           {{"name", name}, {"bytes", value.nbytes()}});
    const at::Tensor plain = value.contiguous().cpu();
    writer.write(name, {static_cast<const std::byte*>(plain.const_data_ptr()), plain.nbytes()});
    done += plain.nbytes();
    if (options.progress) options.progress->update(done, name);
  });
  writer.finish();
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

// A layer, and where it lay.
using Placed = std::pair<std::string, std::shared_ptr<Exec>>;

// The plugin dequantizes on the CPU: layers that lie elsewhere come there first.
std::vector<Placed> bring_to_host(LoadedModel& loaded) {
  const std::shared_ptr<Exec> host = loaded.execs->on("cpu");
  std::vector<Placed> out;
  for (const auto& module : loaded.context->plugin_modules()) {
    if (module->exec().device() == host->device()) continue;
    out.emplace_back(module->full_name(), loaded.execs->on(module->exec().device()));
    module->move_to(host);
  }
  return out;
}

void take_to(torch::nn::Module& root, const std::string& layer, const Exec& place) {
  for (const auto& parameter : model::get_module(root, layer).named_parameters(/*recurse=*/false))
    model::set_parameter(root, join_name(layer, parameter.key()), place.take(parameter.value()));
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

void spool_for_saving(LoadOptions& options, const Quantizer& quantizer,
                      const std::filesystem::path& directory) {
  const QuantizerSpec& spec = *quantizer.config().spec;
  if (spec.requires_calibration || !spec.requires_parameters_quantization) return;
  options.spool_directory = std::filesystem::absolute(directory).parent_path();
}

void save_model(LoadedModel& loaded, const std::filesystem::path& directory,
                const SaveOptions& options) {
  const c10::InferenceMode inference;
  const Trace::Span stage(options.trace, "stage", "save");
  Quantizer* quantizer = loaded.quantizer.get();
  if (quantizer) need_serializable(*quantizer);
  const SavedState state(loaded);

  CheckpointWriterOptions writer_options;
  writer_options.max_shard_bytes = options.max_shard_bytes;
  for (const auto& [key, value] : state.metadata()) writer_options.metadata[key] = value;
  std::vector<TensorDeclaration> declarations;
  std::uint64_t total = 0;
  state.for_each([&](const std::string& name, const at::Tensor& value) {
    declarations.push_back({name, to_dtype(value.scalar_type()), value.sizes().vec()});
    total += value.nbytes();
  });
  AtomicOutput output(directory, OutputKind::kDirectory);
  if (options.progress) options.progress->begin("save", "bytes", total);
  CheckpointWriter writer(output.path(), std::move(declarations), writer_options);
  write_tensors(state, writer, options);
  write_json_file(output.path() / "config.json", saved_config_json(loaded));
  if (quantizer) {
    for (const auto& [name, text] : quantizer->saved_files(*loaded.context))
      write_plain_file(output.path(), name, text);
  }
  if (loaded.checkpoint) copy_companion_files(loaded.checkpoint->directory(), output.path());
  output.commit();
  if (options.progress) options.progress->end();
}

void need_dequantizable(const LoadedModel& loaded) {
  if (loaded.quantizer) return;
  throw Error(ErrorKind::kValue, "the model is not quantized: there is nothing to dequantize",
              "give a model whose config.json has a quantization_config");
}

void dequantize_model(LoadedModel& loaded, qh_dtype dtype) {
  need_dequantizable(loaded);
  const c10::InferenceMode inference;
  const std::vector<Placed> placed = bring_to_host(loaded);
  loaded.quantizer->dequantize(*loaded.execs->on("cpu"), *loaded.context, dtype);
  const auto left = loaded.context->plugin_modules();
  if (!left.empty()) {
    fail(ErrorKind::kRuntime, "{}: dequantize left {} quantized layers, the first is {}",
         loaded.quantizer->plugin_id(), left.size(), left.front()->full_name());
  }
  for (const auto& [layer, place] : placed) take_to(loaded.context->root(), layer, *place);
  loaded.context->attributes.clear();
  loaded.quantizer.reset();
  loaded.model->tie_weights();
  loaded.dispatch.reset();  // it watched the layers that are gone
  if (Dispatch::needed(loaded)) loaded.dispatch = std::make_unique<Dispatch>(loaded);
}

}  // namespace quanthost

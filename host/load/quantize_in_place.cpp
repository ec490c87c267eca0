#include "host/load/quantize_in_place.hpp"

#include <c10/core/GradMode.h>

#include <set>

#include "host/load/attach_quantizer.hpp"
#include "host/load/devices.hpp"

namespace quanthost {
namespace {

// The tree as it was: layers by name, and the tensors in them.
class Before {
 public:
  explicit Before(model::Module& root) : root_(root) {
    for (const model::ModuleEntry& entry : model::walk_modules(root)) {
      if (entry.leaf && entry.parent)
        layers_.emplace_back(entry.name, entry.module->shared_from_this());
    }
    for (const model::TensorEntry& entry : model::walk_parameters(root)) {
      if (entry.tensor.is_meta()) {
        throw Error(ErrorKind::kValue, fmt::format("parameter {} has no memory", entry.name),
                    "give every parameter its value before the model is quantized");
      }
      tensors_.emplace_back(entry.name, entry.tensor.detach());
    }
  }
  const NamedTensors& tensors() const { return tensors_; }
  void restore() {
    for (const auto& [name, layer] : layers_) {
      if (model::find_module(root_, name) != layer.get()) model::replace_module(root_, name, layer);
    }
  }

 private:
  model::Module& root_;
  std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>> layers_;
  NamedTensors tensors_;
};

at::ScalarType first_floating_type(const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (tensor.is_floating_point()) return tensor.scalar_type();
  }
  return at::kFloat;
}

std::string device_of(const NamedTensors& tensors) {
  const at::Device device = tensors.empty() ? at::Device(at::kCPU) : tensors[0].second.device();
  for (const auto& [name, tensor] : tensors) {
    if (tensor.device() != device) {
      fail(ErrorKind::kValue, "{} is on {}, and other parameters on {}: one device is needed", name,
           tensor.device().str(), device.str());
    }
  }
  return device.str();
}

void create(PluginHost& plugins, LoadedModel& loaded, const InPlaceOptions& options,
            const std::string& device) {
  register_services();
  if (options.quantization.method.empty())
    throw Error(ErrorKind::kValue, "quantizing a model of your own needs a method",
                "name one with OwnModelOptions::method or quantization_file; Host::methods() lists "
                "them");
  const MethodChoice method = plugins.find_method(options.quantization.method);
  if (method.spec->requires_calibration) {
    throw Error(ErrorKind::kValue,
                fmt::format("the method {} needs calibration, which runs the blocks of a known "
                            "architecture; a model of your own has none",
                            method.spec->method),
                "use a method that quantizes weights alone");
  }
  std::vector<std::string> kinds{"cpu"};
  if (device != "cpu") kinds.emplace_back(device_kind(device));
  const OpenedPlan opened = plugins.open(plugins.resolve(method, kinds));
  LoadOptions as_loaded;
  as_loaded.progress = options.progress;
  as_loaded.cancel = options.cancel;
  attach_quantizer(loaded, opened, config_for_quantizing(opened.spec(), options.quantization),
                   as_loaded);
}

void build_context(LoadedModel& loaded, std::shared_ptr<model::Module> root,
                   const InPlaceOptions& options) {
  model::ModelConfig config;
  config.architecture = root->class_name();
  config.json = options.config;
  model::ModelInfo info;
  info.output_embeddings = options.output_embedding;
  loaded.model = std::make_unique<model::Model>(std::move(config), std::move(info), std::move(root),
                                                nullptr, model::Slot<model::Layer>());
  loaded.context = std::make_unique<ModelContext>(*loaded.model, options.config, nullptr,
                                                  options.name, *loaded.execs);
  loaded.context->attributes["is_quantized"] = "true";
  loaded.context->attributes["quantization_method"] =
      Json(loaded.quantizer->config().spec->quant_method).dump();
}

// Every tensor of a replaced layer goes through the quantizer or into the new layer.
void fill(LoadedModel& loaded, const NamedTensors& tensors, const InPlaceOptions& options) {
  const std::shared_ptr<Exec> exec = loaded.exec_for("");
  std::set<std::string> consumed;
  std::uint64_t total = 0, done = 0;
  for (const auto& [name, tensor] : tensors) total += tensor.nbytes();
  if (options.progress) options.progress->begin("quantize", "bytes", total);
  for (const auto& [name, tensor] : tensors) {
    if (options.cancel) options.cancel->check();
    const auto dot = name.rfind('.');
    const std::string layer = dot == std::string::npos ? "" : name.substr(0, dot);
    if (loaded.context->plugin_module(layer) && !consumed.contains(name)) {
      const at::Tensor value = tensor.contiguous();
      const qh_tensor view = view_of(value);
      if (loaded.quantizer->check_quantized_param(*loaded.context, name, view, exec->device(),
                                                  loaded.device_map)) {
        const std::int64_t rows = value.dim() == 0 ? 1 : value.size(0);
        for (std::string& key : loaded.quantizer->create_quantized_param(
                 *exec, *loaded.context, name, value, exec->device(), {0, rows, rows}))
          consumed.insert(std::move(key));
      } else {
        loaded.context->set_param(name, value);
      }
    }
    done += tensor.nbytes();
    if (options.progress) options.progress->update(done, name);
  }
  if (options.progress) options.progress->end();
}

void finish(LoadedModel& loaded) {
  loaded.quantizer->process_after_load(*loaded.exec_for(""), *loaded.context);
  for (const auto& module : loaded.context->plugin_modules()) {
    if (!module->describe().loaded) {
      fail(ErrorKind::kRuntime, "{}: the quantizer left this layer without all of its parts",
           module->full_name());
    }
    module->prepare();
  }
  loaded.stats.model_bytes = loaded.context->bytes();
}

}  // namespace

LoadedModel quantize_in_place(PluginHost& plugins, std::shared_ptr<model::Module> root,
                              const InPlaceOptions& options) {
  if (!root) throw Error(ErrorKind::kValue, "the model is a null pointer");
  const auto began = std::chrono::steady_clock::now();
  const c10::NoGradGuard no_gradients;
  Before before(*root);
  LoadedModel loaded;
  loaded.execs = std::make_unique<Execs>(options.cancel);
  const std::string device = device_of(before.tensors());
  loaded.device_map = DeviceMap::whole(device);
  loaded.dtype = first_floating_type(before.tensors());
  create(plugins, loaded, options, device);
  report_diagnostics(
      loaded, loaded.quantizer->validate_environment(loaded.device_map, to_qh_dtype(loaded.dtype),
                                                     usable_devices(), MapState::kAsRequested));
  build_context(loaded, std::move(root), options);
  try {
    loaded.quantizer->process_before_load(*loaded.execs->on("cpu"), *loaded.context,
                                          loaded.device_map, {});
    fill(loaded, before.tensors(), options);
    finish(loaded);
  } catch (...) {
    before.restore();
    throw;
  }
  loaded.stats.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return loaded;
}

}  // namespace quanthost

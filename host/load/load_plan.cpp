// The decisions of a load, in transformers' order: config, quantizer, environment, dtype, modules,
// device map, and then the tensors (tensor_plan.hpp).
#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "host/base/log.hpp"
#include "host/load/attach_quantizer.hpp"
#include "host/load/balanced_memory.hpp"
#include "host/load/devices.hpp"
#include "host/load/dtype_plan.hpp"
#include "host/load/loader.hpp"
#include "host/load/services/services.hpp"
#include "host/load/sizes.hpp"
#include "host/load/tensor_plan.hpp"

namespace quanthost {

void report_diagnostics(LoadedModel& loaded, std::vector<Diagnostic> diagnostics) {
  for (Diagnostic& diagnostic : diagnostics) {
    const std::string text = diagnostic.hint.empty()
                                 ? diagnostic.message
                                 : diagnostic.message + " (" + diagnostic.hint + ")";
    if (diagnostic.warning) {
      log::warn("load", "{}", text);
    } else {
      log::info("load", "{}", text);
    }
    loaded.diagnostics.push_back(std::move(diagnostic));
  }
}

namespace {

// What this load may use: the devices used without being named, and those that the request names.
std::vector<std::string> devices_for(const LoadOptions& options) {
  std::vector<std::string> devices = usable_devices();
  const auto add = [&](const std::string& device) {
    if (device != "disk" && std::find(devices.begin(), devices.end(), device) == devices.end())
      devices.push_back(device);
  };
  if (options.device_map.map) {
    for (const std::string& device : options.device_map.map->devices()) add(device);
  }
  if (options.max_memory) {
    for (const auto& [device, bytes] : *options.max_memory) add(device);
  }
  return devices;
}

// The kinds of devices that this load may touch: packages are resolved for these before a plugin is
// opened.
std::vector<std::string> device_kinds(const LoadOptions& options) {
  std::set<std::string> kinds{"cpu"};
  if (options.device_map.map) {
    for (const std::string& device : options.device_map.map->devices()) {
      if (device != "disk") kinds.emplace(device_kind(device));
    }
  } else if (options.device_map.strategy) {
    for (const std::string& device : devices_for(options)) kinds.emplace(device_kind(device));
  }
  return {kinds.begin(), kinds.end()};
}

struct Chosen {
  MethodChoice method;
  std::optional<OrderedJson> checkpoint_config;  // set: the checkpoint is quantized
};

// What the checkpoint says of its own quantization. optimum-quanto leaves a map of modules beside
// the tensors and no config.
std::optional<OrderedJson> stored_quantization(const Checkpoint& checkpoint) {
  if (const Json* config = checkpoint.quantization_config()) return OrderedJson(*config);
  if (const Json* map = checkpoint.quanto_qmap()) return config_of_quanto_map(*map);
  return std::nullopt;
}

std::optional<Chosen> choose_method(PluginHost& plugins, const LoadOptions& options,
                                    const Checkpoint& checkpoint) {
  if (const std::optional<OrderedJson> stored = stored_quantization(checkpoint)) {
    return Chosen{plugins.match_checkpoint(Json(*stored)), *stored};
  }
  if (options.quantization.method.empty()) return std::nullopt;
  return Chosen{plugins.find_method(options.quantization.method), std::nullopt};
}

// Remembers who provides what, for `plan`.
void note_use(Session& session, const OpenedPlan& opened, const std::string& package,
              const std::string& interface_id, const std::string& kind) {
  const std::lock_guard lock(session.used_packages_mutex);
  for (const PlannedPackage& planned : opened.packages()) {
    if (normalized_name(planned.name) != normalized_name(package)) continue;
    if (planned.device != kind && planned.device != "any") continue;
    for (const UsedPackage& used : session.used_packages) {
      if (used.name == planned.name && used.interface_id == interface_id &&
          used.device_kind == kind)
        return;
    }
    session.used_packages.push_back(
        {planned.name, planned.version, interface_id, kind, planned.plugin_id});
    return;
  }
}

decltype(Session::package_table) package_tables(const OpenedPlan& opened, Session& session) {
  return [opened, &session](const std::string& package, const std::string& interface_id,
                            const std::string& kind) -> PackageTable {
    const LoadedPlugin::Package found = opened.package(package, interface_id, kind);
    note_use(session, opened, package, interface_id, kind);
    return {found.table, found.self};
  };
}

void create_quantizer(PluginHost& plugins, const LoadOptions& options, LoadedModel& loaded) {
  const auto chosen = choose_method(plugins, options, *loaded.checkpoint);
  if (!chosen) return;
  const QuantizerSpec& spec = *chosen->method.spec;
  if (!chosen->checkpoint_config && spec.requires_calibration) {
    throw Error(
        ErrorKind::kValue,
        fmt::format(
            "the method {} can only load models that were quantized already, and {} was not",
            spec.method, options.checkpoint.string()),
        "load a checkpoint that was quantized with it");
  }
  OpenedPlan opened = plugins.open(plugins.resolve(chosen->method, device_kinds(options)));
  MethodConfig config = chosen->checkpoint_config
                            ? config_for_pre_quantized(opened.spec(), *chosen->checkpoint_config,
                                                       options.quantization)
                            : config_for_quantizing(opened.spec(), options.quantization);
  attach_quantizer(loaded, opened, std::move(config), options);
}

}  // namespace

void attach_quantizer(LoadedModel& loaded, const OpenedPlan& opened, MethodConfig config,
                      const LoadOptions& options) {
  for (const std::string& warning : config.warnings)
    report_diagnostics(loaded, {{true, warning, ""}});

  loaded.session = std::make_unique<Session>();
  for (const PlannedPackage& package : opened.packages()) {
    loaded.session->package_versions[normalized_name(package.name)] = package.version;
  }
  loaded.session->progress = options.progress;
  loaded.session->max_memory = options.max_memory.value_or(MemoryLimits{});
  loaded.session->offload_folder = options.offload_folder;
  const Manifest& manifest = opened.plugin().manifest();
  loaded.session->method = Json{{"plugin", manifest.id},
                                {"version", manifest.version.text()},
                                {"config", Json(config.merged)},
                                {"packages", loaded.session->package_versions}};
  loaded.session->package_table = package_tables(opened, *loaded.session);
  loaded.quantizer = std::make_unique<Quantizer>(opened.plugin().handle(), opened.quantizer(),
                                                 opened.plugin().manifest().id, std::move(config),
                                                 *loaded.session, options.trace);
}

namespace {

at::ScalarType choose_dtype(const LoadOptions& options, const Checkpoint& checkpoint,
                            Quantizer* quantizer) {
  const bool said = !options.dtype.empty() && options.dtype != "auto";
  if (!quantizer) return resolve_dtype(options.dtype, checkpoint);
  const qh_dtype asked = said ? to_qh_dtype(resolve_dtype(options.dtype, checkpoint)) : qh_dtype{};
  const qh_dtype answer = quantizer->update_torch_dtype(asked);
  return is_none(answer) ? resolve_dtype("auto", checkpoint) : to_scalar_type(answer);
}

MemoryLimits measured_limits() {
  MemoryLimits limits;
  for (const std::string& device : usable_devices())
    limits.emplace_back(device, free_bytes(device));
  for (auto& [device, bytes] : limits) {
    if (device == "cpu") bytes *= 0.9;  // conversions need room beyond the model
  }
  return limits;
}

DeviceMap infer_map(const LoadOptions& options, LoadedModel& loaded, const ModelOutline& outline) {
  const LimitsFrom from = options.max_memory ? LimitsFrom::kUser : LimitsFrom::kMeasuredFreeMemory;
  MemoryLimits limits = options.max_memory ? *options.max_memory : measured_limits();
  const DeviceStrategy strategy = *options.device_map.strategy;
  if (strategy != DeviceStrategy::kSequential) {
    limits = balanced_memory(outline, limits,
                             strategy == DeviceStrategy::kBalancedLow0 ? FirstDevice::kKeepFree
                                                                       : FirstDevice::kFullShare,
                             from);
  }
  if (loaded.quantizer) limits = loaded.quantizer->adjust_max_memory(limits);
  return infer_device_map(outline, limits);
}

// A map that the user gave is held against the limits before anything is read.
void check_limits(const LoadOptions& options, LoadedModel& loaded, const ModelOutline& outline) {
  if (!options.max_memory) return;
  const MemoryLimits limits = loaded.quantizer
                                  ? loaded.quantizer->adjust_max_memory(*options.max_memory)
                                  : *options.max_memory;
  for (const auto& [device, need] : bytes_per_device(outline, loaded.device_map)) {
    for (const auto& [limited, bytes] : limits) {
      if (limited != device || need <= bytes || device == "disk") continue;
      const DeviceMap fitting = infer_device_map(outline, limits);
      throw Error(ErrorKind::kMemory,
                  fmt::format("the model needs {:.0f} bytes on {}, but at most {:.0f} are allowed; "
                              "nothing was read",
                              need, device, bytes),
                  fmt::format("a device map that fits: '{}'", fitting.to_json().dump()));
    }
  }
}

void place_modules(const LoadOptions& options, LoadedModel& loaded,
                   const std::optional<DeviceMap>& requested) {
  std::vector<std::string> in_fp32;
  const KeepInFp32 keep(loaded.context->info().keep_in_fp32, loaded.dtype);
  for (const ModelTensor& tensor : loaded.context->tensors()) {
    if (keep.applies_to(tensor.name)) in_fp32.push_back(tensor.name);
  }
  const ModelOutline outline =
      outline_of(*loaded.context, loaded.quantizer.get(), loaded.dtype, in_fp32);
  if (requested) {
    loaded.device_map = *requested;
    check_limits(options, loaded, outline);
  } else if (options.device_map.strategy) {
    loaded.device_map = infer_map(options, loaded, outline);
    if (loaded.quantizer) {
      report_diagnostics(loaded, loaded.quantizer->validate_environment(
                                     loaded.device_map, to_qh_dtype(loaded.dtype),
                                     devices_for(options), MapState::kInferred));
    }
  } else {
    loaded.device_map = DeviceMap::whole("cpu");
    check_limits(options, loaded, outline);
  }
  for (const std::string& device : loaded.device_map.devices()) {
    if (device != "disk")
      loaded.execs->on(device);  // a device that is not there is named now, not after an hour
  }
}

}  // namespace

void register_services() {
  static const bool once = [] {
    for (const char* id : {QH_THREADS_ID, QH_PROGRESS_ID, QH_PACKAGES_ID, QH_TENSOR_ID, QH_MODEL_ID,
                           QH_CHECKPOINT_ID, QH_LINALG_ID, QH_TEXT_ID, QH_CALIBRATION_ID,
                           QH_FORWARD_ID, QH_LAYERS_ID, QH_ORIGINAL_INPUTS_ID}) {
      register_service(id, services::find(id));
    }
    return true;
  }();
  (void)once;
}

namespace {

// What config.json asks for; errors begin with that name and get the folder in front of it.
template <typename Body>
auto of_config(const LoadOptions& options, Body&& body) {
  try {
    return body();
  } catch (const Error& e) {
    throw CheckpointError(e.kind(), (options.checkpoint / e.message()).string(), e.hint());
  }
}

std::shared_ptr<Checkpoint> open_checkpoint(const std::filesystem::path& folder) {
  try {
    return std::make_shared<Checkpoint>(Checkpoint::open(folder));
  } catch (const Error& e) {
    throw CheckpointError(e);
  }
}

}  // namespace

std::shared_ptr<Exec> LoadedModel::exec_for(const std::string& module) const {
  const std::string device = device_map.find(module).value_or("cpu");
  return execs->on(device == "disk" ? "cpu" : device);
}

LoadedModel plan_load(PluginHost& plugins, const LoadOptions& options) {
  register_services();
  const Trace::Span stage(options.trace, "stage", "plan");
  const auto began = std::chrono::steady_clock::now();
  LoadedModel loaded;
  loaded.execs = std::make_unique<Execs>(options.cancel);
  loaded.checkpoint = open_checkpoint(options.checkpoint);
  const Json* const config_json = loaded.checkpoint->config();
  if (!config_json) {
    throw CheckpointError(ErrorKind::kOs,
                          fmt::format("{}: there is no config.json", options.checkpoint.string()),
                          "name the directory of a Hugging Face checkpoint");
  }
  const auto config = of_config(options, [&] { return model::read_model_config(*config_json); });

  create_quantizer(plugins, options, loaded);
  Quantizer* quantizer = loaded.quantizer.get();
  std::optional<DeviceMap> requested = options.device_map.map;
  if (quantizer) {
    const qh_dtype asked = options.dtype.empty() || options.dtype == "auto"
                               ? qh_dtype{}
                               : qh_dtype_named(options.dtype);
    report_diagnostics(loaded, quantizer->validate_environment(
                                   requested, asked, devices_for(options), MapState::kAsRequested));
  }
  loaded.dtype = choose_dtype(options, *loaded.checkpoint, quantizer);
  if (quantizer && !options.device_map.strategy)
    requested = quantizer->update_device_map(requested);

  loaded.model = of_config(options, [&] { return model::build_model(config, loaded.dtype); });
  loaded.context =
      std::make_unique<ModelContext>(*loaded.model, *config_json, loaded.checkpoint.get(),
                                     options.checkpoint.string(), *loaded.execs);
  loaded.names = model_names(loaded);
  std::map<std::string, std::string> stored_names;
  for (const auto& [stored, name] : loaded.names) stored_names.emplace(name, stored);
  loaded.context->checkpoint_name = [stored_names](const std::string& name) {
    const auto found = stored_names.find(name);
    return found == stored_names.end() ? name : found->second;
  };

  if (quantizer) {
    loaded.context->attributes["is_quantized"] = "true";
    loaded.context->attributes["quantization_method"] =
        Json(quantizer->config().spec->quant_method).dump();
    const bool keeps =
        quantizer->config().spec->use_keep_in_fp32_modules || loaded.dtype == at::kHalf;
    quantizer->process_before_load(
        *loaded.execs->on("cpu"), *loaded.context, requested,
        keeps ? loaded.context->info().keep_in_fp32 : std::vector<std::string>{});
  }
  place_modules(options, loaded, requested);
  plan_tensors(loaded, options, loaded.names);
  judge_keys(loaded, options);
  for (TensorPlan& plan : loaded.plan) plan.copied = !options.map_files;
  loaded.stats.seconds_planning =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return loaded;
}

}  // namespace quanthost

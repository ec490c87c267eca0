#include "host/load/quantizer.hpp"

#include "host/load/abi_strings.hpp"
#include "host/load/config_fields.hpp"

namespace quanthost {
namespace {

constexpr const char* kSkipField = "modules_to_not_convert";

Json map_json(const std::optional<DeviceMap>& map) { return map ? map->to_json() : Json(); }

std::vector<std::pair<std::string, std::string>> entries(const std::optional<DeviceMap>& map) {
  return map ? map->entries() : std::vector<std::pair<std::string, std::string>>{};
}

qh_diagnostic_sink collect_diagnostics(std::vector<Diagnostic>& out) {
  return {&out, [](void* ctx, std::int32_t severity, qh_str message, qh_str hint) -> qh_status {
            return guard_call([&] {
              static_cast<std::vector<Diagnostic>*>(ctx)->push_back(
                  {severity == QH_SEVERITY_WARNING, std::string(from_abi(message)),
                   std::string(from_abi(hint))});
            });
          }};
}

qh_memory_sink collect_limits(MemoryLimits& out) {
  return {&out, [](void* ctx, qh_str device, double bytes) -> qh_status {
            return guard_call(
                [&] { static_cast<MemoryLimits*>(ctx)->emplace_back(from_abi(device), bytes); });
          }};
}

qh_dtype_sink collect_dtypes(std::vector<std::pair<std::string, qh_dtype>>& out) {
  return {&out, [](void* ctx, qh_str name, qh_dtype dtype) -> qh_status {
            return guard_call([&] {
              static_cast<std::vector<std::pair<std::string, qh_dtype>>*>(ctx)->emplace_back(
                  from_abi(name), dtype);
            });
          }};
}

// The base class's rule: a parameter whose name contains an entry of modules_to_not_convert keeps
// the load dtype.
std::vector<std::pair<std::string, qh_dtype>> default_special_dtypes(const MethodConfig& config,
                                                                     ModelContext& model,
                                                                     qh_dtype dtype) {
  std::vector<std::string> skipped;
  for (const ConfigValue& value : config.values) {
    if (value.field->name == kSkipField && value.value.is_array())
      skipped = value.value.get<std::vector<std::string>>();
  }
  std::vector<std::pair<std::string, qh_dtype>> out;
  for (const ModelTensor& tensor : model.tensors()) {
    const auto named = [&](const std::string& entry) {
      return tensor.name.find(entry) != std::string::npos;
    };
    if (!tensor.is_buffer && std::any_of(skipped.begin(), skipped.end(), named))
      out.emplace_back(tensor.name, dtype);
  }
  return out;
}

}  // namespace

template <typename Body>
void Quantizer::call(const char* slot, Json args, Body&& body) {
  const Trace::Span span(trace_, "slot", slot, std::move(args));
  call_plugin(fmt::format("{}: {}", plugin_id_, slot), body);
}

template <typename Body>
bool Quantizer::call_or_default(const char* slot, Json args, Body&& body) {
  bool done = true;
  call(slot, std::move(args), [&] {
    const qh_status status = body();
    done = status != kHostDefault;
    return done ? status : QH_OK;
  });
  return done;
}

Quantizer::Quantizer(qh_plugin* plugin, const qh_quantizer_api& api, std::string plugin_id,
                     MethodConfig config, Session& session, Trace* trace)
    : plugin_id_(std::move(plugin_id)), api_(api), config_(std::move(config)), trace_(trace) {
  const std::string json = config_.merged.dump();
  const ConfigFields fields(config_);
  qh_create_args args{};
  args.struct_size = sizeof(args);
  args.flags = config_.pre_quantized ? QH_CREATE_PRE_QUANTIZED : 0;
  args.session = session.abi();
  args.method = to_abi(config_.spec->method);
  args.fields = fields.data();
  args.field_count = fields.size();
  args.config_json = to_abi(json);
  call("create", {{"method", config_.spec->method}, {"pre_quantized", config_.pre_quantized}},
       [&] { return api_.create(plugin, &args, &self_); });
  if (!self_)
    fail(ErrorKind::kInternal, "{}: create returned no quantizer and no error", plugin_id_);
}

Quantizer::~Quantizer() {
  const Trace::Span span(trace_, "slot", "destroy");
  api_.destroy(self_);
}

std::vector<Diagnostic> Quantizer::validate_environment(const std::optional<DeviceMap>& map,
                                                        qh_dtype torch_dtype,
                                                        const std::vector<std::string>& devices,
                                                        MapState state) {
  const auto map_entries = entries(map);
  const AbiPairs pairs(map_entries);
  const AbiStrings names(devices);
  qh_environment environment{};
  environment.struct_size = sizeof(environment);
  environment.flags = (map ? QH_ENV_HAS_DEVICE_MAP : 0) |
                      (state == MapState::kInferred ? QH_ENV_DEVICE_MAP_INFERRED : 0);
  environment.torch_dtype = torch_dtype;
  environment.device_map = pairs.list();
  environment.devices = names.list();
  std::vector<Diagnostic> out;
  call("validate_environment",
       {{"device_map", map_json(map)}, {"torch_dtype", name_of(torch_dtype)}},
       [&] { return api_.validate_environment(self_, &environment, collect_diagnostics(out)); });
  return out;
}

qh_dtype Quantizer::update_torch_dtype(qh_dtype requested) {
  qh_dtype out = requested;
  call("update_torch_dtype", {{"requested", name_of(requested)}},
       [&] { return api_.update_torch_dtype(self_, requested, &out); });
  return out;
}

std::optional<DeviceMap> Quantizer::update_device_map(const std::optional<DeviceMap>& map) {
  const auto map_entries = entries(map);
  const AbiPairs pairs(map_entries);
  std::vector<std::pair<std::string, std::string>> out;
  call("update_device_map", {{"device_map", map_json(map)}}, [&] {
    return api_.update_device_map(self_, map.has_value(), pairs.list(), collect_pairs(out));
  });
  return out.empty() ? map : std::optional(DeviceMap(std::move(out)));
}

qh_dtype Quantizer::adjust_target_dtype(qh_dtype dtype) {
  qh_dtype out = dtype;
  call("adjust_target_dtype", {{"dtype", name_of(dtype)}},
       [&] { return api_.adjust_target_dtype(self_, dtype, &out); });
  return out;
}

MemoryLimits Quantizer::adjust_max_memory(const MemoryLimits& limits) {
  std::vector<qh_memory_limit> views;
  for (const auto& [device, bytes] : limits) views.push_back({to_abi(device), bytes});
  MemoryLimits out;
  call("adjust_max_memory", {}, [&] {
    return api_.adjust_max_memory(self_, views.data(), views.size(), collect_limits(out));
  });
  return out;
}

void Quantizer::process_before_load(const Exec& exec, ModelContext& model,
                                    const std::optional<DeviceMap>& map,
                                    const std::vector<std::string>& keep_in_fp32) {
  const auto map_entries = entries(map);
  const AbiPairs pairs(map_entries);
  const AbiStrings kept(keep_in_fp32);
  const qh_before_load_args args{sizeof(qh_before_load_args), 0, pairs.list(), kept.list()};
  call("process_before_load", {{"keep_in_fp32_modules", keep_in_fp32}},
       [&] { return api_.process_before_load(self_, exec.abi(), model.abi(), &args); });
}

std::vector<std::string> Quantizer::update_missing_keys(ModelContext& model,
                                                        const std::vector<std::string>& keys,
                                                        const std::string& prefix) {
  const AbiStrings list(keys);
  std::vector<std::string> out;
  call("update_missing_keys", {{"count", keys.size()}}, [&] {
    return api_.update_missing_keys(self_, model.abi(), list.list(), to_abi(prefix),
                                    collect_strings(out));
  });
  return out;
}

std::vector<std::string> Quantizer::update_unexpected_keys(ModelContext& model,
                                                           const std::vector<std::string>& keys,
                                                           const std::string& prefix) {
  const AbiStrings list(keys);
  std::vector<std::string> out;
  call("update_unexpected_keys", {{"count", keys.size()}}, [&] {
    return api_.update_unexpected_keys(self_, model.abi(), list.list(), to_abi(prefix),
                                       collect_strings(out));
  });
  return out;
}

std::vector<std::string> Quantizer::update_expected_keys(ModelContext& model,
                                                         const std::vector<std::string>& expected,
                                                         const std::vector<std::string>& loaded) {
  const AbiStrings expected_list(expected), loaded_list(loaded);
  std::vector<std::string> out;
  call("update_expected_keys", {{"expected", expected.size()}, {"loaded", loaded.size()}}, [&] {
    return api_.update_expected_keys(self_, model.abi(), expected_list.list(), loaded_list.list(),
                                     collect_strings(out));
  });
  return out;
}

std::vector<std::pair<std::string, qh_dtype>> Quantizer::get_special_dtypes_update(
    ModelContext& model, qh_dtype dtype) {
  std::vector<std::pair<std::string, qh_dtype>> out;
  const bool answered =
      call_or_default("get_special_dtypes_update", {{"dtype", name_of(dtype)}}, [&] {
        return api_.get_special_dtypes_update(self_, model.abi(), dtype, collect_dtypes(out));
      });
  return answered ? out : default_special_dtypes(config_, model, dtype);
}

std::optional<double> Quantizer::param_element_size(ModelContext& model,
                                                    const ModelTensor& tensor) {
  qh_tensor view{};
  view.device = {QH_DEVICE_CPU, 0};
  view.ndim = static_cast<std::int32_t>(tensor.shape.size());
  view.dtype = tensor.dtype;
  view.shape = const_cast<std::int64_t*>(tensor.shape.data());
  double bytes = -1;
  const bool answered = call_or_default("param_element_size", {{"name", tensor.name}}, [&] {
    return api_.param_element_size(self_, model.abi(), to_abi(tensor.name), &view, &bytes);
  });
  return answered && bytes >= 0 ? std::optional(bytes) : std::nullopt;
}

bool Quantizer::check_quantized_param(ModelContext& model, const std::string& name,
                                      const qh_tensor& stored, const std::string& device,
                                      const DeviceMap& map) {
  const AbiPairs pairs(map.entries());
  const qh_param_query query{
      sizeof(qh_param_query),
      static_cast<std::uint32_t>(map.devices().size() > 1 ? QH_PARAM_MULTI_DEVICE : 0),
      to_abi(name),
      &stored,
      to_abi(device),
      pairs.list()};
  std::int32_t out = 0;
  call("check_quantized_param", {{"name", name}},
       [&] { return api_.check_quantized_param(self_, model.abi(), &query, &out); });
  return out != 0;
}

std::int64_t Quantizer::row_granularity(ModelContext& model, const std::string& name) {
  std::int64_t rows = 0;
  call("row_granularity", {{"name", name}},
       [&] { return api_.row_granularity(self_, model.abi(), to_abi(name), &rows); });
  return rows;
}

std::vector<std::string> Quantizer::create_quantized_param(const Exec& exec, ModelContext& model,
                                                           const std::string& name,
                                                           at::Tensor value,
                                                           const std::string& target_device,
                                                           Rows rows) {
  std::vector<std::string> consumed;
  qh_param_args args{};
  args.struct_size = sizeof(args);
  args.name = to_abi(name);
  args.target_device = to_abi(target_device);
  args.row_begin = rows.begin;
  args.row_count = rows.count;
  args.total_rows = rows.total;
  args.consumed_keys = collect_strings(consumed);
  call("create_quantized_param",
       {{"name", name}, {"row_begin", rows.begin}, {"row_count", rows.count}}, [&] {
         args.value = export_tensor(std::move(value));
         return api_.create_quantized_param(self_, exec.abi(), model.abi(), &args);
       });
  return consumed;
}

void Quantizer::process_after_load(const Exec& exec, ModelContext& model) {
  call("process_after_load", {},
       [&] { return api_.process_after_load(self_, exec.abi(), model.abi()); });
}

bool Quantizer::fact(const char* slot, qh_status (*question)(qh_quantizer*, std::int32_t*)) {
  std::int32_t out = 0;
  call(slot, {}, [&] { return question(self_, &out); });
  return out != 0;
}

void Quantizer::dequantize(const Exec& exec, ModelContext& model, qh_dtype dtype) {
  call("dequantize", {{"dtype", name_of(dtype)}},
       [&] { return api_.dequantize(self_, exec.abi(), model.abi(), dtype); });
}

std::optional<Quantizer::State> Quantizer::get_state_dict_and_metadata(const Exec& exec,
                                                                       ModelContext& model) {
  State state;
  const bool answered = call_or_default("get_state_dict_and_metadata", {}, [&] {
    return api_.get_state_dict_and_metadata(
        self_, exec.abi(), model.abi(), tensor_sink(state.tensors), collect_pairs(state.metadata));
  });
  return answered ? std::optional(std::move(state)) : std::nullopt;
}

OrderedJson Quantizer::saved_config(ModelContext& model) {
  std::string text;
  const bool answered = call_or_default("saved_config", {}, [&] {
    return api_.saved_config(self_, model.abi(), collect_text(text));
  });
  if (!answered || text.empty()) return config_.merged;
  OrderedJson json = OrderedJson::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    fail(ErrorKind::kValue, "{}: saved_config gave no JSON object: {}", plugin_id_,
         text.substr(0, 200));
  return json;
}

std::vector<std::pair<std::string, std::string>> Quantizer::saved_files(ModelContext& model) {
  std::vector<std::pair<std::string, std::string>> out;
  call("saved_files", {}, [&] { return api_.saved_files(self_, model.abi(), collect_pairs(out)); });
  return out;
}

}  // namespace quanthost

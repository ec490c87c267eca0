// qh.model/1: the module tree as a quantizer sees and changes it.
#include <map>

#include "host/load/abi_strings.hpp"
#include "host/load/model_context.hpp"
#include "host/load/services/services.hpp"
#include "host/load/skip_rules.hpp"

namespace quanthost::services {
namespace {

qh_status emit_text(qh_str_sink out, std::string_view text) {
  return text.empty() ? QH_OK : out.emit(out.ctx, to_abi(text));
}

void emit_all(qh_str_sink out, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) check_call(out.emit(out.ctx, to_abi(text)));
}

qh_status config_json(qh_model* model, qh_str_sink out) {
  return guard_call([&] {
    const std::string text = ModelContext::from_abi(model).config().dump();
    check_call(out.emit(out.ctx, to_abi(text)));
  });
}

qh_status name_or_path(qh_model* model, qh_str_sink out) {
  return guard_call(
      [&] { check_call(emit_text(out, ModelContext::from_abi(model).name_or_path())); });
}

qh_status main_input_name(qh_model* model, qh_str_sink out) {
  return guard_call(
      [&] { check_call(emit_text(out, ModelContext::from_abi(model).info().main_input_name)); });
}

std::string parent_of(const std::string& name) {
  const auto dot = name.rfind('.');
  return dot == std::string::npos ? "" : name.substr(0, dot);
}

// `parent` must outlive the result.
qh_module_desc describe(const model::ModuleEntry& entry, const std::string& parent) {
  qh_module_desc desc{};
  desc.struct_size = sizeof(desc);
  desc.flags = entry.leaf ? QH_MODULE_DESC_LEAF : 0;
  desc.name = to_abi(entry.name);
  desc.class_name = to_abi(entry.class_name);
  desc.parent = to_abi(parent);
  if (const auto* linear = dynamic_cast<const model::Linear*>(entry.module)) {
    desc.in_features = linear->in_features();
    desc.out_features = linear->out_features();
    desc.has_bias = linear->bias().defined();
  } else if (const auto* conv = dynamic_cast<const model::Conv1D*>(entry.module)) {
    desc.in_features = conv->in_features();
    desc.out_features = conv->out_features();
    desc.has_bias = conv->bias().defined();
  } else if (const auto* plugin = dynamic_cast<const PluginModule*>(entry.module)) {
    const qh_module_info info = plugin->describe();
    desc.flags |= QH_MODULE_DESC_PLUGIN;
    desc.in_features = info.in_features;
    desc.out_features = info.out_features;
    desc.has_bias = info.has_bias;
  }
  return desc;
}

qh_status modules(qh_model* model, qh_module_desc_sink out) {
  return guard_call([&] {
    for (const model::ModuleEntry& entry : ModelContext::from_abi(model).modules()) {
      const std::string parent = parent_of(entry.name);
      const qh_module_desc desc = describe(entry, parent);
      check_call(out.emit(out.ctx, &desc));
    }
  });
}

qh_status find_module(qh_model* model, qh_str name, qh_module_desc_sink out) {
  return guard_call([&] {
    const std::string wanted(from_abi(name));
    const std::string parent = parent_of(wanted);
    torch::nn::Module* found = model::find_module(ModelContext::from_abi(model).root(), wanted);
    if (!found) fail(ErrorKind::kKey, "the model has no module {}", wanted);
    const model::ModuleEntry entry{wanted, found->name(), found, nullptr,
                                   found->children().empty()};
    const qh_module_desc desc = describe(entry, parent);
    check_call(out.emit(out.ctx, &desc));
  });
}

// Numbers the groups of tied parameters from 1 on.
class TiedGroups {
 public:
  explicit TiedGroups(const std::vector<ModelTensor>& tensors) {
    for (const ModelTensor& tensor : tensors) {
      if (!tensor.tied_to.empty())
        numbers_.emplace(tensor.tied_to, static_cast<std::int32_t>(numbers_.size()) + 1);
    }
  }
  std::int32_t of(const ModelTensor& tensor) const {
    const auto found = numbers_.find(tensor.tied_to.empty() ? tensor.name : tensor.tied_to);
    return found == numbers_.end() ? 0 : found->second;
  }

 private:
  std::map<std::string, std::int32_t> numbers_;
};

void emit_param(ModelContext& context, const ModelTensor& tensor, const TiedGroups& groups,
                qh_param_desc_sink out) {
  qh_param_desc desc{};
  desc.struct_size = sizeof(desc);
  desc.is_buffer = tensor.is_buffer;
  desc.name = to_abi(tensor.name);
  desc.tied_group = groups.of(tensor);
  at::Tensor value;  // keeps the view's shape alive during the call
  if (!tensor.plugin) value = context.get_param(tensor.name);
  if (value.defined() && value.has_storage() && !value.is_meta()) {
    desc.tensor = view_of(value);
  } else {
    desc.tensor.device = {QH_DEVICE_CPU, 0};
    desc.tensor.ndim = static_cast<std::int32_t>(tensor.shape.size());
    desc.tensor.dtype = tensor.dtype;
    desc.tensor.shape = const_cast<std::int64_t*>(tensor.shape.data());
  }
  check_call(out.emit(out.ctx, &desc));
}

qh_status parameters(qh_model* model, qh_param_desc_sink out) {
  return guard_call([&] {
    ModelContext& context = ModelContext::from_abi(model);
    const auto tensors = context.tensors();
    const TiedGroups groups(tensors);
    for (const ModelTensor& tensor : tensors) emit_param(context, tensor, groups, out);
  });
}

qh_status find_param(qh_model* model, qh_str name, qh_param_desc_sink out) {
  return guard_call([&] {
    ModelContext& context = ModelContext::from_abi(model);
    const auto found = context.find_tensor(std::string(from_abi(name)));
    if (found.empty()) fail(ErrorKind::kKey, "the model has no parameter {}", from_abi(name));
    emit_param(context, found[0], TiedGroups(found), out);
  });
}

qh_status input_embeddings(qh_model* model, qh_str_sink out) {
  return guard_call(
      [&] { check_call(emit_text(out, ModelContext::from_abi(model).info().input_embeddings)); });
}

qh_status output_embeddings(qh_model* model, qh_str_sink out) {
  return guard_call(
      [&] { check_call(emit_text(out, ModelContext::from_abi(model).info().output_embeddings)); });
}

qh_status keep_in_fp32_modules(qh_model* model, qh_str_sink out) {
  return guard_call([&] { emit_all(out, ModelContext::from_abi(model).info().keep_in_fp32); });
}

qh_status default_skips(qh_model* model, qh_str_sink out) {
  return guard_call(
      [&] { emit_all(out, ModelContext::from_abi(model).default_modules_to_not_convert()); });
}

qh_status is_skipped(qh_model*, qh_str module, qh_str_list patterns, std::int32_t* out) {
  return guard_call([&] { *out = SkipList(to_strings(patterns)).skips(from_abi(module)); });
}

qh_status get_param(qh_model* model, qh_str name, qh_managed_tensor** out) {
  return guard_call([&] {
    at::Tensor value = ModelContext::from_abi(model).get_param(std::string(from_abi(name)));
    if (value.is_meta())
      fail(ErrorKind::kRuntime, "parameter {} has no memory yet", from_abi(name));
    *out = export_tensor(std::move(value));
  });
}

qh_status set_param(qh_model* model, qh_str name, qh_managed_tensor* value) {
  return guard_call([&] {
    at::Tensor tensor = import_tensor(value);
    ModelContext::from_abi(model).set_param(std::string(from_abi(name)), std::move(tensor));
  });
}

qh_status replace_module(qh_model* model, qh_str name, const qh_module_class* module_class,
                         qh_module* state) {
  return guard_call([&] {
    if (!module_class || !state)
      fail(ErrorKind::kValue, "replace_module needs a class and a state");
    ModelContext::from_abi(model).replace_module(std::string(from_abi(name)), *module_class, state);
  });
}

// Asked for every tensor of a checkpoint, mostly in vain: a miss must not cost an exception.
qh_status plugin_module(qh_model* model, qh_str name, const qh_module_class* module_class,
                        qh_module** out) {
  const PluginModule* found = nullptr;
  const qh_status status = guard_call(
      [&] { found = ModelContext::from_abi(model).plugin_module(std::string(from_abi(name))); });
  if (status != QH_OK) return status;
  if (!found || found->module_class().identity != module_class) {
    leave_call_error(ErrorKind::kKey, "the module is none of this class", "");
    return QH_ERR_KEY;
  }
  *out = found->state();
  return QH_OK;
}

qh_status restore_module(qh_model* model, qh_str name, qh_managed_tensor* weight,
                         qh_managed_tensor* bias) {
  return guard_call([&] {
    at::Tensor bias_tensor = bias ? import_tensor(bias) : at::Tensor();
    at::Tensor weight_tensor = import_tensor(weight);
    ModelContext::from_abi(model).restore_module(std::string(from_abi(name)),
                                                 std::move(weight_tensor), std::move(bias_tensor));
  });
}

qh_status set_attribute(qh_model* model, qh_str name, qh_str json) {
  return guard_call([&] {
    parse_json(from_abi(json), fmt::format("attribute {}", from_abi(name)));
    ModelContext::from_abi(model).attributes[std::string(from_abi(name))] = from_abi(json);
  });
}

qh_status get_attribute(qh_model* model, qh_str name, qh_str_sink out) {
  return guard_call([&] {
    const auto& attributes = ModelContext::from_abi(model).attributes;
    const auto found = attributes.find(std::string(from_abi(name)));
    if (found != attributes.end()) check_call(out.emit(out.ctx, to_abi(found->second)));
  });
}

}  // namespace

const qh_model_api& model() {
  static const qh_model_api table{sizeof(qh_model_api),
                                  0,
                                  config_json,
                                  name_or_path,
                                  main_input_name,
                                  modules,
                                  parameters,
                                  find_module,
                                  find_param,
                                  input_embeddings,
                                  output_embeddings,
                                  keep_in_fp32_modules,
                                  default_skips,
                                  is_skipped,
                                  get_param,
                                  set_param,
                                  replace_module,
                                  plugin_module,
                                  restore_module,
                                  set_attribute,
                                  get_attribute};
  return table;
}

}  // namespace quanthost::services

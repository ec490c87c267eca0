// The model a quantizer works on: its module tree, its parameters, and the checkpoint it is loaded
// from.
#pragma once

#include <quanthost/abi/services.h>

#include <memory>
#include <quanthost/plugin/module.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace qh {

struct ModuleDesc {
  std::string name;
  std::string class_name;
  std::string parent;
  std::int64_t in_features;
  std::int64_t out_features;
  bool has_bias;
  bool is_leaf;
};

struct ParamDesc {
  std::string name;
  Dtype dtype;
  std::vector<std::int64_t> shape;
  bool is_buffer;
  std::int32_t tied_group;
};

// Borrowed strings as a list of the ABI.
class StrList {
 public:
  explicit StrList(const std::vector<std::string>& strings) {
    items_.reserve(strings.size());
    for (const std::string& s : strings) items_.push_back(to_abi(s));
  }
  qh_str_list abi() const { return {items_.data(), items_.size()}; }

 private:
  std::vector<qh_str> items_;
};

inline std::vector<std::string> to_strings(qh_str_list list) {
  std::vector<std::string> out;
  out.reserve(list.count);
  for (std::uint64_t i = 0; i < list.count; ++i) out.emplace_back(from_abi(list.items[i]));
  return out;
}

class Model {
 public:
  Model(const Host& host, qh_model* handle)
      : host_(&host), handle_(handle), api_(host.need(host.model, QH_MODEL_ID)) {}

  qh_model* handle() const { return handle_; }
  const Host& host() const { return *host_; }

  std::string config_json() const { return text(api_.config_json); }
  std::string name_or_path() const { return text(api_.name_or_path); }
  std::string main_input_name() const { return text(api_.main_input_name); }
  std::string input_embeddings() const { return text(api_.input_embeddings); }
  std::string output_embeddings() const { return text(api_.output_embeddings); }
  std::vector<std::string> keep_in_fp32_modules() const { return list(api_.keep_in_fp32_modules); }
  std::vector<std::string> default_modules_to_not_convert() const {
    return list(api_.default_modules_to_not_convert);
  }

  std::vector<ModuleDesc> modules() const {
    std::vector<ModuleDesc> out;
    check(api_.modules(handle_, module_sink(out)));
    return out;
  }
  std::vector<ParamDesc> parameters() const {
    std::vector<ParamDesc> out;
    check(api_.parameters(handle_, param_sink(out)));
    return out;
  }
  bool find_module(std::string_view name, ModuleDesc& out) const {
    std::vector<ModuleDesc> found;
    return take_found(api_.find_module(handle_, to_abi(name), module_sink(found)), found, out);
  }
  // One of parameters(), without a walk through the model; false when there is none of this name.
  bool find_param(std::string_view name, ParamDesc& out) const {
    std::vector<ParamDesc> found;
    return take_found(api_.find_param(handle_, to_abi(name), param_sink(found)), found, out);
  }
  bool is_skipped(std::string_view module,
                  const std::vector<std::string>& modules_to_not_convert) const {
    std::int32_t result = 0;
    const StrList patterns(modules_to_not_convert);
    check(api_.is_skipped(handle_, to_abi(module), patterns.abi(), &result));
    return result != 0;
  }

  Tensor get_param(std::string_view name) const {
    qh_managed_tensor* out = nullptr;
    check(api_.get_param(handle_, to_abi(name), &out));
    return Tensor(out);
  }
  void set_param(std::string_view name, Tensor value) const {
    check(api_.set_param(handle_, to_abi(name), value.release()));
  }
  // Returns the module, which from here on belongs to the model.
  template <typename D>
  D* replace_module(std::string_view name, std::unique_ptr<D> module) const {
    check(
        api_.replace_module(handle_, to_abi(name), module_class<D>(), detail::wrap(module.get())));
    return module.release();
  }
  // Null when `name` is no module of class D.
  template <typename D>
  D* plugin_module(std::string_view name) const {
    qh_module* out = nullptr;
    const qh_status status = api_.plugin_module(handle_, to_abi(name), module_class<D>(), &out);
    if (status == QH_ERR_KEY) return nullptr;
    check(status);
    return static_cast<D*>(detail::unwrap(out));
  }
  void restore_module(std::string_view name, Tensor weight, Tensor bias) const {
    check(api_.restore_module(handle_, to_abi(name), weight.release(), bias.release()));
  }
  void set_attribute(std::string_view name, std::string_view json) const {
    check(api_.set_attribute(handle_, to_abi(name), to_abi(json)));
  }

  // The checkpoint.
  std::vector<std::string> checkpoint_names(std::string_view prefix = {}) const {
    std::vector<std::string> out;
    check(checkpoint().names(handle_, to_abi(prefix), string_sink(out)));
    return out;
  }
  bool checkpoint_info(std::string_view name, ParamDesc& out) const {
    std::vector<ParamDesc> found;
    const qh_status status = checkpoint().info(handle_, to_abi(name), param_sink(found));
    if (status == QH_ERR_KEY || (status == QH_OK && found.empty())) return false;
    check(status);
    out = std::move(found.front());
    return true;
  }
  bool checkpoint_has(std::string_view name) const {
    ParamDesc ignored;
    return checkpoint_info(name, ignored);
  }
  Tensor read_checkpoint(const Exec& exec, std::string_view name) const {
    qh_managed_tensor* out = nullptr;
    check(checkpoint().read(handle_, exec.abi(), to_abi(name), &out));
    return Tensor(out);
  }
  // "" when the checkpoint has no such file.
  std::string checkpoint_file(std::string_view name) const {
    std::string out;
    check(checkpoint().read_file(handle_, to_abi(name), text_sink(out)));
    return out;
  }

 private:
  using Texts = qh_status (*)(qh_model*, qh_str_sink);

  std::string text(Texts slot) const {
    std::string out;
    check(slot(handle_, text_sink(out)));
    return out;
  }
  std::vector<std::string> list(Texts slot) const {
    std::vector<std::string> out;
    check(slot(handle_, string_sink(out)));
    return out;
  }
  // The one that was looked for by name, unless there is none.
  template <class Desc>
  bool take_found(qh_status status, std::vector<Desc>& found, Desc& out) const {
    if (status == QH_ERR_KEY) return false;
    check(status);
    out = std::move(found.at(0));
    return true;
  }
  const qh_checkpoint_api& checkpoint() const {
    return host_->need(host_->checkpoint, QH_CHECKPOINT_ID);
  }
  static ModuleDesc convert(const qh_module_desc& d) {
    return {std::string(from_abi(d.name)),
            std::string(from_abi(d.class_name)),
            std::string(from_abi(d.parent)),
            d.in_features,
            d.out_features,
            d.has_bias != 0,
            (d.flags & QH_MODULE_DESC_LEAF) != 0};
  }
  static qh_module_desc_sink module_sink(std::vector<ModuleDesc>& out) {
    return {&out, [](void* ctx, const qh_module_desc* desc) -> qh_status {
              static_cast<std::vector<ModuleDesc>*>(ctx)->push_back(convert(copy_sized(desc)));
              return QH_OK;
            }};
  }
  static qh_param_desc_sink param_sink(std::vector<ParamDesc>& out) {
    return {&out, [](void* ctx, const qh_param_desc* desc) -> qh_status {
              const qh_param_desc d = copy_sized(desc);
              static_cast<std::vector<ParamDesc>*>(ctx)->push_back(
                  {std::string(from_abi(d.name)), d.tensor.dtype, TensorView(d.tensor).shape(),
                   d.is_buffer != 0, d.tied_group});
              return QH_OK;
            }};
  }

  const Host* host_;
  qh_model* handle_;
  qh_model_api api_;
};

}  // namespace qh

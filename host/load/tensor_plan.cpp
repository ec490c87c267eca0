#include "host/load/tensor_plan.hpp"

#include <set>

#include "host/base/log.hpp"
#include "host/load/dtype_plan.hpp"
#include "host/model/weights.hpp"

namespace quanthost {
namespace {

// Decides tensor after tensor, and remembers what was found for the report on keys.
class TensorPlanner {
 public:
  TensorPlanner(LoadedModel& loaded, const LoadOptions& options)
      : loaded_(loaded),
        keep_small_types_(options.keep_small_types),
        quantizer_(loaded.quantizer.get()),
        keep_in_fp32_(loaded.context->info().keep_in_fp32, loaded.dtype) {
    for (ModelTensor& tensor : loaded.context->tensors()) {
      if (!tensor.persistent) continue;
      expected_keys_.push_back(tensor.name);
      expected_.emplace(expected_keys_.back(), std::move(tensor));
    }
  }

  void plan(const StoredTensor& stored, const std::string& name) {
    loaded_keys_.push_back(name);
    TensorPlan plan{&stored,      name, loaded_.device_map.find(name).value_or("cpu"), false, 0,
                    std::nullopt, false};
    if (quantizer_) ask_quantizer(plan);
    const auto known = expected_.find(name);
    const ModelTensor* target = known == expected_.end() ? nullptr : &known->second;
    if (!plan.quantized && !target) {
      if (!model::is_obsolete(stored.name())) unexpected_.push_back(name);
      return;
    }
    found_.insert(name);
    plan.cast = cast_of(plan, target);
    if (!plan.quantized && !target->plugin && target->shape != stored.shape()) {
      loaded_.keys.mismatched.push_back(
          {name, stored.shape(), target->shape, stored.file().path().filename().string()});
    }
    loaded_.plan.push_back(std::move(plan));
  }

  void report_keys() {
    ModelContext& context = *loaded_.context;
    const std::string prefix = context.info().base_prefix;
    KeyReport& keys = loaded_.keys;
    if (quantizer_)
      expected_keys_ = quantizer_->update_expected_keys(context, expected_keys_, loaded_keys_);
    keys.missing = missing_keys();
    keys.unexpected = std::move(unexpected_);
    if (!quantizer_) return;
    keys.missing = quantizer_->update_missing_keys(context, keys.missing, prefix);
    keys.unexpected = quantizer_->update_unexpected_keys(context, keys.unexpected, prefix);
  }

 private:
  void ask_quantizer(TensorPlan& plan) {
    const StoredTensor& stored = *plan.stored;
    qh_tensor view{};
    view.device = {QH_DEVICE_CPU, 0};
    view.ndim = static_cast<std::int32_t>(stored.shape().size());
    view.dtype = to_qh_dtype(to_scalar_type(stored.dtype()));
    view.shape = const_cast<std::int64_t*>(stored.shape().data());
    plan.quantized = quantizer_->check_quantized_param(*loaded_.context, plan.name, view,
                                                       plan.device, loaded_.device_map);
    if (plan.quantized && !quantizer_->pre_quantized())
      plan.row_granularity = quantizer_->row_granularity(*loaded_.context, plan.name);
  }

  // Nothing: it stays as stored. So do integers, and what a quantized checkpoint has for a plugin.
  // `target` is null only for a quantized parameter that the model does not list.
  std::optional<at::ScalarType> cast_of(const TensorPlan& plan, const ModelTensor* target) const {
    const at::ScalarType stored = to_scalar_type(plan.stored->dtype());
    const bool of_plugin = plan.quantized || target->plugin;
    if (!at::isFloatingType(stored)) return std::nullopt;
    if (quantizer_ && quantizer_->pre_quantized() && of_plugin) return std::nullopt;
    const at::ScalarType wanted = keep_in_fp32_.applies_to(plan.name) ? at::kFloat : loaded_.dtype;
    const bool small = keep_small_types_ && !quantizer_ && plan.device == "cpu" &&
                       model::may_stay_small(*loaded_.model, plan.name, stored, wanted);
    return stored == wanted || small ? std::nullopt : std::optional(wanted);
  }

  // A tied parameter is there when the one it shares memory with is.
  std::vector<std::string> missing_keys() const {
    std::vector<std::string> out;
    for (const std::string& key : expected_keys_) {
      const auto known = expected_.find(key);
      const std::string owner = known == expected_.end() ? "" : known->second.tied_to;
      if (!found_.contains(key) && (owner.empty() || !found_.contains(owner))) out.push_back(key);
    }
    return out;
  }

  LoadedModel& loaded_;
  const bool keep_small_types_;
  Quantizer* const quantizer_;
  const KeepInFp32 keep_in_fp32_;
  std::map<std::string, ModelTensor> expected_;
  std::vector<std::string> expected_keys_, loaded_keys_, unexpected_;
  std::set<std::string> found_;
};

}  // namespace

std::map<std::string, std::string> model_names(LoadedModel& loaded) {
  model::Model& model = *loaded.model;
  const Checkpoint& checkpoint = *loaded.checkpoint;
  std::vector<std::string> stored_keys, model_keys;
  for (const ModelTensor& tensor : loaded.context->tensors()) model_keys.push_back(tensor.name);
  for (const StoredTensor& tensor : checkpoint.tensors()) stored_keys.push_back(tensor.name());
  const std::string prefix = model.info().base_prefix.empty() ? "" : model.info().base_prefix + ".";
  const PrefixChange change = prefix_change(prefix, stored_keys, model_keys);
  std::map<std::string, std::string> names;
  for (const std::string& key : stored_keys) {
    const std::string direct = model::parameter_for(model, key);
    names[key] = direct.empty() ? rename_key(key, prefix, change) : direct;
  }
  return names;
}

void plan_tensors(LoadedModel& loaded, const LoadOptions& options,
                  const std::map<std::string, std::string>& names) {
  TensorPlanner planner(loaded, options);
  for (const StoredTensor& stored : loaded.checkpoint->tensors())
    planner.plan(stored, names.at(stored.name()));
  planner.report_keys();
}

void judge_keys(const LoadedModel& loaded, const LoadOptions& options) {
  const KeyReport& keys = loaded.keys;
  if (!keys.mismatched.empty()) {
    const ShapeMismatch& first = keys.mismatched.front();
    throw CheckpointError(ErrorKind::kRuntime,
                          fmt::format("{}: tensor {} in {} has shape {}, the model needs {}{}",
                                      options.checkpoint.string(), first.name, first.file,
                                      shape_text(first.found), shape_text(first.expected),
                                      keys.mismatched.size() > 1
                                          ? fmt::format(" ({} more)", keys.mismatched.size() - 1)
                                          : ""),
                          "config.json and the tensors are of different models");
  }
  if (!keys.missing.empty()) {
    throw CheckpointError(
        ErrorKind::kKey, fmt::format("{}: {}", options.checkpoint.string(), keys.text()),
        "the checkpoint is incomplete, or config.json names another architecture");
  }
  if (!keys.unexpected.empty())
    log::warn("load", "{}: {}", options.checkpoint.string(), keys.text());
}

}  // namespace quanthost

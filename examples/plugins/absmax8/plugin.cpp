// absmax8: a complete quantizer in three small files. Start reading here.
#include <quanthost/plugin.hpp>

#include "linear8.hpp"

namespace absmax8 {
namespace {

class Absmax8Quantizer final : public qh::Quantizer {
 public:
  Absmax8Quantizer(const qh::Host& host, const qh_create_args& args) : qh::Quantizer(host, args) {
    modules_to_not_convert = config.strings("modules_to_not_convert");
  }

  qh::Dtype adjust_target_dtype(qh::Dtype) override { return qh::kInt8; }

  void process_before_load(const qh::Exec&, qh::Model& model, const qh::DeviceMap&,
                           const std::vector<std::string>& keep_in_fp32) override {
    if (!config.has("modules_to_not_convert"))
      modules_to_not_convert = model.default_modules_to_not_convert();
    modules_to_not_convert.insert(modules_to_not_convert.end(), keep_in_fp32.begin(),
                                  keep_in_fp32.end());
    for (const qh::ModuleDesc& module : model.modules()) {
      if (module.class_name != "Linear" || model.is_skipped(module.name, modules_to_not_convert))
        continue;
      model.replace_module(
          module.name, std::make_unique<Linear8>(host(), module.in_features, module.out_features,
                                                 module.has_bias));
    }
  }

  double param_element_size(qh::Model& model, std::string_view name,
                            qh::TensorView param) override {
    return owner(model, name) && leaf(name) == "weight" ? 1.0 : param.dtype().bits / 8.0;
  }
  bool check_quantized_param(qh::Model& model, const qh::ParamQuery& query) override {
    return owner(model, query.name) != nullptr;
  }
  std::int64_t row_granularity(qh::Model& model, std::string_view name) override {
    return owner(model, name) && leaf(name) == "weight" ? 1 : 0;
  }
  void create_quantized_param(const qh::Exec& exec, qh::Model& model, qh::ParamArgs args) override {
    Linear8* layer = owner(model, args.name);
    const bool is_dense_weight =
        leaf(args.name) == "weight" && qh::is_floating(args.value.view().dtype());
    if (is_dense_weight) {
      layer->quantize_rows(exec, std::move(args.value), args.row_begin);
    } else {
      layer->set_param(exec, leaf(args.name), std::move(args.value));
    }
  }

  // A dense checkpoint has no scales: they come from the weights.
  std::vector<std::string> update_missing_keys(qh::Model& model, std::vector<std::string> keys,
                                               std::string_view) override {
    if (pre_quantized) return keys;
    std::vector<std::string> left;
    for (std::string& key : keys)
      if (!(leaf(key) == "weight_scale" && owner(model, key))) left.push_back(std::move(key));
    return left;
  }

  bool is_serializable() override { return true; }
  bool is_trainable() override { return true; }

  void dequantize(const qh::Exec& exec, qh::Model& model, qh::Dtype dtype) override {
    for (const qh::ModuleDesc& module : model.modules()) {
      Linear8* layer = model.plugin_module<Linear8>(module.name);
      if (!layer) continue;
      qh::Tensor bias;
      layer->state_dict(exec, [&](std::string_view name, qh::Tensor tensor) {
        if (name == "bias") bias = std::move(tensor);
      });
      model.restore_module(module.name, layer->dequantize(exec, dtype), std::move(bias));
    }
  }

 private:
  static std::string_view leaf(std::string_view name) { return name.substr(name.rfind('.') + 1); }
  // The layer a parameter belongs to, or null.
  static Linear8* owner(qh::Model& model, std::string_view name) {
    const std::size_t dot = name.rfind('.');
    const std::string_view module =
        dot == std::string_view::npos ? std::string_view() : name.substr(0, dot);
    return model.plugin_module<Linear8>(module);
  }
};

class Absmax8Plugin final : public qh::Plugin {
 public:
  using qh::Plugin::Plugin;
  std::vector<qh::QuantizerEntry> quantizers() const override {
    return {
        {"absmax8", QH_QUANTIZER_CONCURRENT,
         [](const qh::Host& host, const qh_create_args& args) -> std::unique_ptr<qh::Quantizer> {
           return std::make_unique<Absmax8Quantizer>(host, args);
         }}};
  }
};

}  // namespace
}  // namespace absmax8

QH_PLUGIN(absmax8::Absmax8Plugin)

// The method: which layers are replaced, and where each tensor of a checkpoint goes.
#include <quanthost/plugin.hpp>

#include "layer.hpp"

namespace @name@ {
namespace {

class Quantizer final : public qh::Quantizer {
 public:
  Quantizer(const qh::Host& host, const qh_create_args& args) : qh::Quantizer(host, args) {
    modules_to_not_convert = config.strings("modules_to_not_convert");
  }

  void process_before_load(const qh::Exec&, qh::Model& model, const qh::DeviceMap&,
                           const std::vector<std::string>& keep_in_fp32) override {
    if (!config.has("modules_to_not_convert")) modules_to_not_convert = model.default_modules_to_not_convert();
    modules_to_not_convert.insert(modules_to_not_convert.end(), keep_in_fp32.begin(), keep_in_fp32.end());
    for (const qh::ModuleDesc& module : model.modules()) {
      if (module.class_name != "Linear" || model.is_skipped(module.name, modules_to_not_convert)) continue;
      model.replace_module(module.name, std::make_unique<Layer>(host(), module.in_features, module.out_features,
                                                                module.has_bias));
    }
  }
  bool check_quantized_param(qh::Model& model, const qh::ParamQuery& query) override {
    return owner(model, query.name) != nullptr;
  }
  void create_quantized_param(const qh::Exec& exec, qh::Model& model, qh::ParamArgs args) override {
    const std::string_view leaf = args.name.substr(args.name.rfind('.') + 1);
    if (leaf == "weight" && !pre_quantized)
      owner(model, args.name)->quantize(exec, std::move(args.value));
    else
      owner(model, args.name)->set_param(exec, leaf, std::move(args.value));
  }
  bool is_serializable() override { return true; }

 private:
  // The layer a parameter belongs to, or null.
  static Layer* owner(qh::Model& model, std::string_view name) {
    const std::size_t dot = name.rfind('.');
    return dot == std::string_view::npos ? nullptr : model.plugin_module<Layer>(name.substr(0, dot));
  }
};

class Plugin final : public qh::Plugin {
 public:
  using qh::Plugin::Plugin;
  std::vector<qh::QuantizerEntry> quantizers() const override {
    // QH_QUANTIZER_CONCURRENT: parameters may be created on several threads at once.
    return {{"@name@", QH_QUANTIZER_CONCURRENT,
             [](const qh::Host& host, const qh_create_args& args) -> std::unique_ptr<qh::Quantizer> {
               return std::make_unique<Quantizer>(host, args);
             }}};
  }
};

}  // namespace
}  // namespace @name@

QH_PLUGIN(@name@::Plugin)

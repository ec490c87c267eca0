// A quantizer that changes nothing: each linear layer's weight goes through every slot of a load
// and is kept as it came. What the pipeline itself costs is what it costs.
#include <quanthost/plugin.hpp>

namespace {

class KeptLinear final : public qh::Module {
 public:
  static constexpr const char* kClassName = "KeptLinear";
  static constexpr std::uint32_t kFlags = QH_MODULE_LINEAR;

  KeptLinear(const qh::Host& host, const qh::ModuleDesc& module)
      : qh::Module(host), in_(module.in_features), out_(module.out_features) {}

  qh::ModuleInfo describe() const override {
    return {in_, out_, false, qh::kBfloat16, static_cast<bool>(weight_)};
  }
  std::vector<qh::ParamInfo> parameters() const override {
    return {{"weight", qh::kBfloat16, {out_, in_}, 2.0}};
  }
  void set_param(const qh::Exec&, std::string_view, qh::Tensor value) override {
    weight_ = std::move(value);
  }
  void forward(const qh::Exec&, const qh_tensor*, std::uint32_t, qh::TensorView) override {
    throw unsupported("computing: it only measures loads");
  }
  void state_dict(const qh::Exec& exec, const qh::TensorEmitter& emit) override {
    emit("weight", exec.share(weight_));
  }
  qh::ModuleMemory memory_bytes() const override {
    return {static_cast<std::uint64_t>(2 * in_ * out_), 0, 0};
  }

 private:
  std::int64_t in_, out_;
  qh::Tensor weight_;
};

class PassthroughQuantizer final : public qh::Quantizer {
 public:
  using qh::Quantizer::Quantizer;

  void process_before_load(const qh::Exec&, qh::Model& model, const qh::DeviceMap&,
                           const std::vector<std::string>&) override {
    const auto skipped = model.default_modules_to_not_convert();
    for (const qh::ModuleDesc& module : model.modules()) {
      if (module.class_name == "Linear" && !module.has_bias &&
          !model.is_skipped(module.name, skipped))
        model.replace_module(module.name, std::make_unique<KeptLinear>(host(), module));
    }
  }
  bool check_quantized_param(qh::Model& model, const qh::ParamQuery& query) override {
    return owner(model, query.name) != nullptr;
  }
  void create_quantized_param(const qh::Exec& exec, qh::Model& model, qh::ParamArgs args) override {
    owner(model, args.name)->set_param(exec, "weight", std::move(args.value));
  }

 private:
  static KeptLinear* owner(qh::Model& model, std::string_view name) {
    const std::size_t dot = name.rfind('.');
    return dot == std::string_view::npos ? nullptr
                                         : model.plugin_module<KeptLinear>(name.substr(0, dot));
  }
};

class PassthroughPlugin final : public qh::Plugin {
 public:
  using qh::Plugin::Plugin;
  std::vector<qh::QuantizerEntry> quantizers() const override {
    return {
        {"passthrough", 0,
         [](const qh::Host& host, const qh_create_args& args) -> std::unique_ptr<qh::Quantizer> {
           return std::make_unique<PassthroughQuantizer>(host, args);
         }}};
  }
};

}  // namespace

QH_PLUGIN(PassthroughPlugin)

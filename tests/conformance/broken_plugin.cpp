// A quantizer that keeps weights as they are, and breaks the one rule that broken_fault.cpp.in
// names. Compiled once for all faults.
#include <csignal>
#include <quanthost/plugin.hpp>

extern const char* const kFault;

namespace {

bool breaks(std::string_view rule) { return rule == kFault; }

class KeptLinear final : public qh::Module {
 public:
  static constexpr const char* kClassName = "KeptLinear";
  static constexpr std::uint32_t kFlags = QH_MODULE_LINEAR;

  KeptLinear(const qh::Host& host, std::int64_t in, std::int64_t out, bool bias)
      : qh::Module(host), in_(in), out_(out), has_bias_(bias) {}

  qh::ModuleInfo describe() const override {
    return {in_, out_, has_bias_, qh::kFloat32, loaded()};
  }
  std::vector<qh::ParamInfo> parameters() const override {
    return {{"weight", qh::kBfloat16, {out_, in_}, 2.0}};
  }
  void set_param(const qh::Exec& exec, std::string_view name, qh::Tensor value) override {
    if (name != "weight" && name != "bias") {
      if (breaks("no_error_text")) throw qh::HostFailure(QH_ERR_KEY);
      throw no_param(name);
    }
    const std::vector<std::int64_t> expected =
        name == "weight" ? std::vector<std::int64_t>{out_, in_} : std::vector<std::int64_t>{out_};
    if (value.view().shape() != expected)
      throw qh::Error(QH_ERR_VALUE, "the shape does not fit the layer");
    qh::Tensor& slot = name == "weight" ? weight_ : bias_;
    slot = exec.converted(std::move(value), qh::kBfloat16);
    if (breaks("leaks_tensors")) static_cast<void>(exec.share(slot).release());
  }
  void forward(const qh::Exec& exec, const qh_tensor* inputs, std::uint32_t,
               qh::TensorView output) override {
    if (!loaded()) throw qh::Error(QH_ERR_RUNTIME, "the layer is not loaded yet");
    // A death that sanitizers do not turn into an exit code.
    if (breaks("crashes_in_forward")) std::raise(SIGKILL);
    const qh::Tensor x = to_float(exec, *inputs), w = to_float(exec, *weight_.abi());
    const qh::Tensor b = bias_ ? to_float(exec, *bias_.abi()) : qh::Tensor();
    const qh::Tensor y = exec.allocate(qh::kFloat32, output.shape());
    for (std::int64_t t = 0; t < x.view().elements() / in_; ++t)
      for (std::int64_t o = 0; o < out_; ++o) {
        float sum = b ? b.data<float>()[o] : 0;
        for (std::int64_t i = 0; i < in_; ++i)
          sum += x.data<float>()[t * in_ + i] * w.data<float>()[o * in_ + i];
        if (o == out_ - 1 && breaks("wrong_forward")) sum += 1.0f;
        y.data<float>()[t * out_ + o] = sum;
      }
    exec.copy(y.abi(), output.abi());
  }
  void state_dict(const qh::Exec& exec, const qh::TensorEmitter& emit) override {
    emit("weight", exec.share(weight_));
    if (bias_) emit("bias", exec.share(bias_));
  }
  qh::Tensor dequantize(const qh::Exec& exec, qh::Dtype dtype) override {
    return exec.converted(exec.share(weight_), dtype);
  }
  qh::ModuleMemory memory_bytes() const override {
    return {weight_ ? weight_.view().bytes() : 0, 0, 0};
  }

 private:
  static qh::Tensor to_float(const qh::Exec& exec, const qh_tensor& from) {
    qh::Tensor out = exec.allocate(qh::kFloat32, qh::TensorView(from).shape());
    exec.copy(&from, out.abi());
    return out;
  }
  bool loaded() const { return weight_ && (bias_ || !has_bias_); }

  std::int64_t in_, out_;
  bool has_bias_;
  qh::Tensor weight_, bias_;
};

class BrokenQuantizer final : public qh::Quantizer {
 public:
  using qh::Quantizer::Quantizer;
  void process_before_load(const qh::Exec&, qh::Model& model, const qh::DeviceMap&,
                           const std::vector<std::string>&) override {
    for (const qh::ModuleDesc& m : model.modules())
      if (m.class_name == "Linear" && m.name != "lm_head")
        model.replace_module(m.name, std::make_unique<KeptLinear>(host(), m.in_features,
                                                                  m.out_features, m.has_bias));
  }
  bool check_quantized_param(qh::Model& model, const qh::ParamQuery& query) override {
    return layer_of(model, query.name) != nullptr;
  }
  void create_quantized_param(const qh::Exec& exec, qh::Model& model, qh::ParamArgs args) override {
    layer_of(model, args.name)
        ->set_param(exec, args.name.substr(args.name.rfind('.') + 1), std::move(args.value));
  }
  bool is_serializable() override { return true; }

 private:
  static KeptLinear* layer_of(qh::Model& model, std::string_view name) {
    return model.plugin_module<KeptLinear>(name.substr(0, name.rfind('.')));
  }
};

class BrokenPlugin final : public qh::Plugin {
 public:
  using qh::Plugin::Plugin;
  std::vector<qh::QuantizerEntry> quantizers() const override {
    const char* method = breaks("other_id") ? "another" : "broken";
    return {
        {method, 0,
         [](const qh::Host& host, const qh_create_args& args) -> std::unique_ptr<qh::Quantizer> {
           return std::make_unique<BrokenQuantizer>(host, args);
         }}};
  }
};

}  // namespace

extern "C" __attribute__((visibility("default"))) qh_status qh_plugin_entry_v1(
    const qh_offer* offer, qh_accept* accept) {
  // As if the host had room for everything.
  if (breaks("writes_past_accept")) accept->struct_size = sizeof(qh_accept);
  return ::qh::detail::enter<BrokenPlugin>(offer, accept);
}

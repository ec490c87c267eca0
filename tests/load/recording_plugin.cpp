// A quantizer that writes each call with its main arguments into a file, and fails where its
// options say so. Its layers are those of absmax8.
#include <fstream>
#include <memory>
#include <quanthost/plugin.hpp>

#include "linear8.hpp"

namespace {

constexpr qh_status kStatusOfNoMeaning = 4242;

class Log {
 public:
  explicit Log(const std::string& path) : file_(path, std::ios::app) {}
  template <typename... Parts>
  void line(const Parts&... parts) {
    ((file_ << parts), ...) << std::endl;
  }

 private:
  std::ofstream file_;
};

std::string text(const qh::DeviceMap& map) {
  std::string out;
  for (const auto& [module, device] : map) out += (out.empty() ? "" : ",") + module + ":" + device;
  return "{" + out + "}";
}

// absmax8's layer, whose end is recorded.
class RecordedLinear final : public qh::Module {
 public:
  static constexpr const char* kClassName = "RecordedLinear";
  static constexpr std::uint32_t kFlags = QH_MODULE_LINEAR;

  // A layer that is `not_saved` gives its state once, as a save asks for shapes, and then fails.
  RecordedLinear(const qh::Host& host, std::shared_ptr<Log> log, const qh::ModuleDesc& module,
                 std::int64_t more_outputs, bool not_saved)
      : qh::Module(host),
        log_(std::move(log)),
        name_(module.name),
        not_saved_(not_saved),
        layer_(host, module.in_features, module.out_features + more_outputs, module.has_bias) {}
  ~RecordedLinear() override { log_->line("module.destroy ", name_); }

  absmax8::Linear8& layer() { return layer_; }
  qh::ModuleInfo describe() const override { return layer_.describe(); }
  std::vector<qh::ParamInfo> parameters() const override { return layer_.parameters(); }
  void set_param(const qh::Exec& exec, std::string_view name, qh::Tensor value) override {
    layer_.set_param(exec, name, std::move(value));
  }
  void forward(const qh::Exec& exec, const qh_tensor* inputs, std::uint32_t count,
               qh::TensorView output) override {
    layer_.forward(exec, inputs, count, output);
  }
  void state_dict(const qh::Exec& exec, const qh::TensorEmitter& emit) override {
    if (not_saved_ && asked_++ > 0)
      throw qh::Error(QH_ERR_RUNTIME, "this layer was not to be saved");
    layer_.state_dict(exec, emit);
  }
  qh::ModuleMemory memory_bytes() const override { return layer_.memory_bytes(); }

 private:
  std::shared_ptr<Log> log_;
  std::string name_;
  bool not_saved_;
  int asked_ = 0;
  absmax8::Linear8 layer_;
};

class RecordingQuantizer final : public qh::Quantizer {
 public:
  RecordingQuantizer(const qh::Host& host, const qh_create_args& args)
      : qh::Quantizer(host, args), log_(std::make_shared<Log>(config.string("log"))) {
    log_->line("create pre_quantized=", pre_quantized);
  }
  ~RecordingQuantizer() override { log_->line("destroy"); }

  void validate_environment(const qh::Environment& environment, const Report&) override {
    log_->line("validate_environment map=",
               environment.device_map ? text(*environment.device_map) : "none",
               " inferred=", environment.device_map_inferred);
  }
  qh::Dtype update_torch_dtype(qh::Dtype requested) override {
    log_->line("update_torch_dtype ", qh::name_of(requested));
    return requested;
  }
  std::optional<qh::DeviceMap> update_device_map(std::optional<qh::DeviceMap> map) override {
    log_->line("update_device_map ", map ? text(*map) : "none");
    return map;
  }
  qh::Dtype adjust_target_dtype(qh::Dtype dtype) override {
    log_->line("adjust_target_dtype ", qh::name_of(dtype));
    return qh::kInt8;
  }
  qh::MemoryLimits adjust_max_memory(qh::MemoryLimits limits) override {
    log_->line("adjust_max_memory ", limits.size());
    return limits;
  }
  void process_before_load(const qh::Exec&, qh::Model& model, const qh::DeviceMap& map,
                           const std::vector<std::string>& keep_in_fp32) override {
    log_->line("process_before_load ", text(map), " keep_in_fp32=", keep_in_fp32.size());
    const auto skipped = model.default_modules_to_not_convert();
    for (const qh::ModuleDesc& module : model.modules()) {
      if (module.class_name == "Linear" && !model.is_skipped(module.name, skipped))
        model.replace_module(
            module.name, std::make_unique<RecordedLinear>(
                             host(), log_, module, module.name == config.string("wrong_shape_at"),
                             module.name == config.string("fail_saving_at")));
    }
  }
  std::vector<std::string> update_missing_keys(qh::Model& model, std::vector<std::string> keys,
                                               std::string_view prefix) override {
    log_->line("update_missing_keys ", keys.size(), " prefix=", prefix);
    std::vector<std::string> left;
    for (std::string& key : keys)
      if (pre_quantized || leaf(key) != "weight_scale" || !owner(model, key))
        left.push_back(std::move(key));
    return left;
  }
  std::vector<std::string> update_unexpected_keys(qh::Model&, std::vector<std::string> keys,
                                                  std::string_view prefix) override {
    log_->line("update_unexpected_keys ", keys.size(), " prefix=", prefix);
    return keys;
  }
  std::vector<std::string> update_expected_keys(qh::Model&, std::vector<std::string> expected,
                                                const std::vector<std::string>& loaded) override {
    log_->line("update_expected_keys ", expected.size(), " loaded=", loaded.size());
    return expected;
  }
  std::vector<std::pair<std::string, qh::Dtype>> get_special_dtypes_update(
      qh::Model& model, qh::Dtype dtype) override {
    log_->line("get_special_dtypes_update ", qh::name_of(dtype));
    return qh::Quantizer::get_special_dtypes_update(model, dtype);
  }
  double param_element_size(qh::Model&, std::string_view name, qh::TensorView param) override {
    log_->line("param_element_size ", name);
    return param.dtype().bits / 8.0;
  }
  bool check_quantized_param(qh::Model& model, const qh::ParamQuery& query) override {
    log_->line("check_quantized_param ", query.name, " on ", query.param_device);
    return owner(model, query.name) != nullptr;
  }
  std::int64_t row_granularity(qh::Model&, std::string_view name) override {
    log_->line("row_granularity ", name);
    return 0;
  }
  void create_quantized_param(const qh::Exec& exec, qh::Model& model, qh::ParamArgs args) override {
    log_->line("create_quantized_param ", args.name, " rows=", args.row_begin, "+", args.row_count,
               "/", args.total_rows, " on ", args.target_device);
    if (args.name == config.string("fail_at"))
      throw qh::Error(QH_ERR_RUNTIME, "this parameter was to fail");
    if (args.name == config.string("wrong_status_at")) throw qh::HostFailure(kStatusOfNoMeaning);
    absmax8::Linear8& layer = owner(model, args.name)->layer();
    if (pre_quantized) {
      layer.set_param(exec, leaf(args.name), std::move(args.value));
    } else {
      layer.quantize_rows(exec, std::move(args.value), args.row_begin);
    }
  }
  void process_after_load(const qh::Exec&, qh::Model&) override {
    log_->line("process_after_load");
  }
  bool is_serializable() override {
    log_->line("is_serializable");
    return config.boolean("serializable");
  }
  void dequantize(const qh::Exec& exec, qh::Model& model, qh::Dtype dtype) override {
    for (const qh::ModuleDesc& module : model.modules()) {
      RecordedLinear* layer = model.plugin_module<RecordedLinear>(module.name);
      if (!layer) continue;
      qh::Tensor dense = layer->layer().dequantize(exec, dtype);
      if (module.name == config.string("wrong_dense_at"))
        dense = exec.allocate(dense.view().dtype(), {2, 3});
      model.restore_module(module.name, std::move(dense), qh::Tensor());
    }
  }

 private:
  static std::string_view leaf(std::string_view name) { return name.substr(name.rfind('.') + 1); }
  static RecordedLinear* owner(qh::Model& model, std::string_view name) {
    const std::size_t dot = name.rfind('.');
    return dot == std::string_view::npos ? nullptr
                                         : model.plugin_module<RecordedLinear>(name.substr(0, dot));
  }

  std::shared_ptr<Log> log_;
};

// Wants every layer's weight and leaves its creation to the base class.
class BareQuantizer final : public qh::Quantizer {
 public:
  using qh::Quantizer::Quantizer;
  bool check_quantized_param(qh::Model&, const qh::ParamQuery&) override { return true; }
};

template <typename Made>
std::unique_ptr<qh::Quantizer> make(const qh::Host& host, const qh_create_args& args) {
  return std::make_unique<Made>(host, args);
}

class RecordingPlugin final : public qh::Plugin {
 public:
  using qh::Plugin::Plugin;
  std::vector<qh::QuantizerEntry> quantizers() const override {
    return {{"recording", 0, make<RecordingQuantizer>},
            {"recording_calibrated", 0, make<BareQuantizer>},
            {"recording_bare", 0, make<BareQuantizer>}};
  }
};

}  // namespace

QH_PLUGIN(RecordingPlugin)

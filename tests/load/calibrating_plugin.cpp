// A quantizer of the calibrated kind: the life cycle of GPTQ with a trivial rule in the place of
// the algorithm (weights are rounded to sixteenths), so that what the host gives it can be
// compared.
#include <quanthost/abi/original_inputs.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <quanthost/plugin.hpp>

namespace {

class CalibratingQuantizer final : public qh::Quantizer {
 public:
  CalibratingQuantizer(const qh::Host& host, const qh_create_args& args)
      : qh::Quantizer(host, args), session_(args.session) {
    line("create");
  }
  ~CalibratingQuantizer() override { line("destroy"); }

  void validate_environment(const qh::Environment&, const Report&) override {
    line("validate_environment optimum=" + host().package_version(session_, "optimum"));
  }
  void process_before_load(const qh::Exec&, qh::Model&, const qh::DeviceMap&,
                           const std::vector<std::string>&) override {
    line("process_before_load");
  }
  void process_after_load(const qh::Exec& exec, qh::Model& model) override {
    line("process_after_load");
    calibrate(exec, model);
  }
  bool is_serializable() override { return true; }

 private:
  // Reaches the host's callback: what one run of a block needs.
  struct Pass {
    CalibratingQuantizer* self;
    const qh::Exec* exec;
  };

  void line(const std::string& text) const {
    if (!config.string("log").empty())
      std::ofstream(config.string("log"), std::ios::app) << text << std::endl;
  }

  // A string is a path; everything else stands as JSON.
  std::string dataset_option() const {
    if (!config.has("dataset")) return {};
    try {
      return config.string("dataset");
    } catch (const qh::Error&) {
      return config.list_json("dataset");
    }
  }

  void calibrate(const qh::Exec& exec, qh::Model& model) {
    const qh_calibration_api& api = host().need(host().calibration, QH_CALIBRATION_ID);
    const std::string dataset = dataset_option(), tokenizer = config.string("tokenizer"),
                      block = config.string("block"), journal = config.string("journal");
    qh_calibration_args args{};
    args.struct_size = sizeof(args);
    args.batch_size = static_cast<std::uint32_t>(config.integer("batch_size"));
    args.dataset_json = qh::to_abi(dataset);
    args.tokenizer = qh::to_abi(tokenizer);
    args.block_prefix = qh::to_abi(block);
    args.sample_count = static_cast<std::uint64_t>(config.integer("samples"));
    args.sequence_length = static_cast<std::uint64_t>(config.integer("seqlen"));
    args.pad_token_id = config.integer("pad_token_id");
    args.journal_path = qh::to_abi(journal);
    qh_calibration* run = nullptr;
    qh::check(api.open(session_, model.handle(), &args, &run));
    line("open");
    if (config.boolean("original")) {
      original_ = qh::copy_sized(
          static_cast<const qh_original_inputs_api*>(host().service(QH_ORIGINAL_INPUTS_ID)));
      qh::check(host().need(original_, QH_ORIGINAL_INPUTS_ID).keep(run));
    }
    struct Close {
      const qh_calibration_api& api;
      qh_calibration* run;
      ~Close() { api.close(run); }
    } close{api, run};
    std::uint64_t blocks = 0;
    qh::check(api.block_count(run, &blocks));
    for (std::uint64_t index = 0; index < blocks; ++index) {
      quantize_block(api, run, exec, model, index);
      qh::check(api.advance(run, exec.abi(), index));
      line("advance " + std::to_string(index));
    }
  }

  void quantize_block(const qh_calibration_api& api, qh_calibration* run, const qh::Exec& exec,
                      qh::Model& model, std::uint64_t index) {
    std::string name;
    std::vector<std::string> layers;
    qh::check(api.block_name(run, index, qh::text_sink(name)));
    qh::check(api.layers(run, index, qh::string_sink(layers)));
    const std::string& only = config.string("only");
    layers.erase(std::remove_if(layers.begin(), layers.end(),
                                [&](const std::string& layer) {
                                  return layer.find(only) == std::string::npos;
                                }),
                 layers.end());
    line("block " + name + " layers=" + std::to_string(layers.size()));
    std::vector<std::vector<std::string>> groups{layers};
    if (!config.boolean("together")) {
      groups.clear();
      for (const std::string& layer : layers) groups.push_back({layer});
    }
    for (const auto& group : groups) {
      if (resume(api, run, exec, model, group)) continue;
      Pass pass{this, &exec};
      const qh::StrList names(group);
      if (config.boolean("original"))
        qh::check(original_.run_block(run, exec.abi(), index, names.abi(), receive_both, &pass));
      else
        qh::check(api.run_block(run, exec.abi(), index, names.abi(), receive, &pass));
      for (const std::string& layer : group) {
        if (!config.boolean("keep_weights")) round_weight(exec, model, layer);
        qh::check(
            api.journal_write(run, qh::to_abi(layer), model.get_param(layer + ".weight").abi()));
        line("quantized " + layer);
      }
    }
  }

  bool resume(const qh_calibration_api& api, qh_calibration* run, const qh::Exec& exec,
              qh::Model& model, const std::vector<std::string>& group) {
    for (const std::string& layer : group) {
      qh::Tensor kept;
      qh::check(api.journal_read(run, exec.abi(), qh::to_abi(layer),
                                 {&kept, [](void* ctx, qh_str, qh_managed_tensor* t) -> qh_status {
                                    static_cast<qh::Tensor*>(ctx)->reset(t);
                                    return QH_OK;
                                  }}));
      if (!kept) return false;
      model.set_param(layer + ".weight", std::move(kept));
      line("resumed " + layer);
    }
    return true;
  }

  static qh_status receive(void* arg, qh_str layer, const qh_tensor* input, std::uint64_t batch,
                           std::uint64_t samples) {
    auto* pass = static_cast<Pass*>(arg);
    return pass->self->host().guard([&] {
      pass->self->input(*pass->exec, std::string(qh::from_abi(layer)), *input, batch, samples);
    });
  }

  static qh_status receive_both(void* arg, qh_str layer, const qh_tensor* input,
                                const qh_tensor* original, std::uint64_t batch,
                                std::uint64_t samples) {
    auto* pass = static_cast<Pass*>(arg);
    return pass->self->host().guard([&] {
      const std::string name(qh::from_abi(layer));
      pass->self->input(*pass->exec, name, *input, batch, samples);
      if (original)
        pass->self->dump(*pass->exec, *original, name + "." + std::to_string(batch) + ".original");
      else
        pass->self->line("other tokens " + name);
    });
  }

  void input(const qh::Exec& exec, const std::string& layer, const qh_tensor& view,
             std::uint64_t batch, std::uint64_t samples) {
    const auto shape = qh::TensorView(view).shape();
    line("input " + layer + " [" + std::to_string(shape.at(0)) + ", " +
         std::to_string(shape.at(1)) + "] batch=" + std::to_string(batch) +
         " samples=" + std::to_string(samples));
    std::string stop_at;
    std::ifstream(config.string("stop_file")) >> stop_at;
    if (layer == stop_at) throw qh::Error(QH_ERR_RUNTIME, "stopped as told", "tell it otherwise");
    dump(exec, view, layer + "." + std::to_string(batch));
  }

  void dump(const qh::Exec& exec, const qh_tensor& view, const std::string& name) {
    if (config.string("dump").empty()) return;
    qh::Tensor plain = exec.allocate(qh::kFloat32, qh::TensorView(view).shape());
    exec.copy(&view, plain.abi());
    std::ofstream file(config.string("dump") + "/" + name + ".f32", std::ios::binary);
    file.write(static_cast<const char*>(plain.abi()->data),
               static_cast<std::streamsize>(plain.view().bytes()));
  }

  void round_weight(const qh::Exec& exec, qh::Model& model, const std::string& layer) {
    const qh::Tensor weight = model.get_param(layer + ".weight");
    qh::Tensor plain = exec.allocate(qh::kFloat32, weight.view().shape());
    exec.copy(weight.abi(), plain.abi());
    auto* values = static_cast<float*>(plain.abi()->data);
    for (std::int64_t i = 0; i < plain.view().elements(); ++i)
      values[i] = std::nearbyint(values[i] * 16.0f) / 16.0f;
    model.set_param(layer + ".weight", exec.converted(std::move(plain), weight.view().dtype()));
  }

  qh_session* session_;
  qh_original_inputs_api original_{};
};

class CalibratingPlugin final : public qh::Plugin {
 public:
  using qh::Plugin::Plugin;
  std::vector<qh::QuantizerEntry> quantizers() const override {
    return {
        {"calibrating", 0,
         [](const qh::Host& host, const qh_create_args& args) -> std::unique_ptr<qh::Quantizer> {
           return std::make_unique<CalibratingQuantizer>(host, args);
         }}};
  }
};

}  // namespace

QH_PLUGIN(CalibratingPlugin)

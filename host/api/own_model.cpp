// The application's own modules, quantized in place.
#include "host/api/model_state.hpp"
#include "host/load/quantize_in_place.hpp"

namespace quanthost::api {
namespace {

// What quantized layers need when the application keeps its modules and lets the handle go. Members
// are destroyed from the last to the first.
struct Needed {
  std::shared_ptr<const log::Destination> log;
  std::shared_ptr<Watched> watched;
  std::unique_ptr<Execs> execs;
  std::unique_ptr<Session> session;
  std::unique_ptr<Quantizer> quantizer;
};

}  // namespace

struct QuantizedModule::State : Loaded {
  using Loaded::Loaded;
  ~State() {
    if (!model) return;
    const log::Scope logging(log.get());
    const auto layers = model->context->plugin_modules();
    if (layers.empty()) return;
    const auto needed = std::make_shared<const Needed>(Needed{log, watched, std::move(model->execs),
                                                              std::move(model->session),
                                                              std::move(model->quantizer)});
    for (const auto& layer : layers) layer->keep(needed);
  }

  Turns turns;
};

QuantizedModule::QuantizedModule(std::shared_ptr<State> state) : state_(std::move(state)) {}
QuantizedModule::QuantizedModule(QuantizedModule&&) noexcept = default;
QuantizedModule& QuantizedModule::operator=(QuantizedModule&&) noexcept = default;
QuantizedModule::~QuantizedModule() = default;

QuantizedModule Host::quantize(const std::shared_ptr<model::Module>& root,
                               const OwnModelOptions& options) {
  const log::Scope logging(state_->log.get());
  auto out =
      std::make_shared<QuantizedModule::State>(state_->log, options.progress, options.cancel);
  InPlaceOptions in_place;
  in_place.quantization = user_quantization(
      {options.method, options.settings, options.quantization_file}, option_names());
  in_place.name = options.name;
  in_place.config = parse_json(options.config, "OwnModelOptions::config");
  in_place.output_embedding = options.output_embedding;
  in_place.progress = &out->watched->progress();
  in_place.cancel = &out->watched->token();
  {
    const Turns::Turn turn(state_->turns, "host");
    out->model.emplace(quantize_in_place(state_->plugins, root, in_place));
  }
  out->watched->release();
  return QuantizedModule(std::move(out));
}

ModelInfo QuantizedModule::info() const {
  const Call call(*state_, state_->turns);
  return info_of(*state_, state_->model->model->config().architecture);
}

std::vector<std::string> QuantizedModule::quantized_layers() const {
  const Call call(*state_, state_->turns);
  std::vector<std::string> names;
  for (const auto& layer : state_->model->context->plugin_modules())
    names.push_back(layer->full_name());
  return names;
}

void QuantizedModule::save(const std::filesystem::path& directory, const SaveOptions& options) {
  const Call call(*state_, state_->turns);
  save_loaded(*state_->model, directory, options);
}

void QuantizedModule::dequantize(const std::string& dtype) {
  const Call call(*state_, state_->turns);
  dequantize_loaded(*state_->model, dtype);
}

}  // namespace quanthost::api

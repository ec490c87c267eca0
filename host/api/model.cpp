// A loaded model: facts, forward, saving.
#include <c10/core/InferenceMode.h>

#include "host/api/model_state.hpp"
#include "host/load/save.hpp"
#include "host/model/model_inputs.hpp"

namespace quanthost::api {
namespace {

at::Tensor run(LoadedModel& loaded, const model::ModelInputs& inputs) {
  model::check_inputs(*loaded.model, inputs);
  const c10::InferenceMode no_gradients;
  return loaded.model->forward(inputs);
}

}  // namespace

quanthost::SaveOptions save_options(const SaveOptions& options, Watched& watched) {
  quanthost::SaveOptions save;
  save.max_shard_bytes = options.max_shard_bytes;
  save.progress = &watched.progress();
  save.cancel = &watched.token();
  return save;
}

void save_loaded(LoadedModel& model, const std::filesystem::path& directory,
                 const SaveOptions& options) {
  Watched watched(options.progress, options.cancel);
  save_model(model, directory, save_options(options, watched));
}

void dequantize_loaded(LoadedModel& model, const std::string& dtype) {
  const qh_dtype to = dtype.empty() ? to_qh_dtype(model.dtype) : qh_dtype_named(dtype);
  dequantize_model(model, to);
  model.dtype = to_scalar_type(to);
}

ModelInfo info_of(const Loaded& loaded, const std::string& architecture) {
  const LoadedModel& model = *loaded.model;
  ModelInfo info;
  info.source = loaded.source;
  info.architecture = architecture;
  info.dtype = name_of(to_qh_dtype(model.dtype));
  info.device_map = model.device_map.to_json().dump();
  info.model_bytes = model.stats.model_bytes;
  info.bytes_read = model.stats.bytes_read;
  info.load_seconds = model.stats.seconds;
  if (!model.quantizer) return info;
  info.method = model.quantizer->config().spec->method;
  info.plugin = model.quantizer->plugin_id();
  info.serializable = model.quantizer->is_serializable();
  info.trainable = model.quantizer->is_trainable();
  return info;
}

Model::Model(std::shared_ptr<State> state) : state_(std::move(state)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

ModelInfo Model::info() const {
  const Call call(*state_, state_->turns);
  return info_of(*state_, state_->model->model->config().architecture);
}

at::Tensor Model::forward(const at::Tensor& main_input) {
  const std::string main = [&] {
    const Call call(*state_, state_->turns);
    return state_->model->model->info().main_input_name;
  }();
  return forward(std::vector<NamedTensor>{{main, main_input}});
}

at::Tensor Model::forward(const std::vector<NamedTensor>& inputs) {
  const Call call(*state_, state_->turns);
  model::ModelInputs values;
  for (const NamedTensor& input : inputs) model::input_named(values, input.name) = input.tensor;
  return run(*state_->model, values);
}

DLManagedTensorVersioned* Model::forward_dlpack(const std::vector<NamedDlpack>& inputs) {
  const Call call(*state_, state_->turns);
  model::ModelInputs values;
  for (const NamedDlpack& input : inputs) {
    // The two structs are laid out alike: quanthost/abi/tensor.h follows DLPack.
    const auto* tensor = reinterpret_cast<const qh_managed_tensor*>(input.tensor);
    if (!tensor) fail(ErrorKind::kValue, "the input {} is a null pointer", input.name);
    if (tensor->version_major != 1) {
      fail(ErrorKind::kValue, "the input {} is of DLPack version {}.{}, 1.x is needed", input.name,
           tensor->version_major, tensor->version_minor);
    }
    model::input_named(values, input.name) = alias(tensor->tensor);
  }
  return reinterpret_cast<DLManagedTensorVersioned*>(export_tensor(run(*state_->model, values)));
}

void Model::save(const std::filesystem::path& directory, const SaveOptions& options) {
  const Call call(*state_, state_->turns);
  save_loaded(*state_->model, directory, options);
}

void Model::dequantize(const std::string& dtype) {
  const Call call(*state_, state_->turns);
  dequantize_loaded(*state_->model, dtype);
}

}  // namespace quanthost::api

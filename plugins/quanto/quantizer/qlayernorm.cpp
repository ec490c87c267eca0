// QLayerNorm: the host norms, on whatever device; the output is quantized as any module's.
#include "quantizer/qlayernorm.hpp"

#include <string>

namespace quanthost::quanto {
namespace {

using qh::Error;

}  // namespace

QLayerNorm::QLayerNorm(const qh::Host& host, KernelPackages& packages, RecentScales& recent,
                       const LayerNormSpec& spec)
    : QModule(host, packages, Activations(spec.activations, spec.dtype, recent)), spec_(spec) {}

qh::ModuleInfo QLayerNorm::describe() const {
  const bool loaded = (weight_ || !spec_.has_weight) && (bias_ || !spec_.has_bias);
  return {spec_.width, spec_.width, spec_.has_bias, spec_.dtype, loaded};
}

std::vector<qh::ParamInfo> QLayerNorm::parameters() const {
  std::vector<qh::ParamInfo> out = activations_.parameters();
  const double bytes = spec_.dtype.bits / 8.0;
  if (spec_.has_weight) out.push_back({"weight", spec_.dtype, {spec_.width}, bytes});
  if (spec_.has_bias) out.push_back({"bias", spec_.dtype, {spec_.width}, bytes});
  return out;
}

void QLayerNorm::set_param(const qh::Exec& exec, std::string_view name, qh::Tensor value) {
  if (Activations::is_scale(name)) return activations_.set_scale(exec, name, value.view());
  const bool is_weight = name == "weight" && spec_.has_weight;
  if (!is_weight && !(name == "bias" && spec_.has_bias)) throw no_param(name);
  if (value.view().shape() != std::vector<std::int64_t>{spec_.width})
    throw Error(QH_ERR_VALUE, "'" + std::string(name) + "' has the wrong shape for a norm of " +
                                  std::to_string(spec_.width));
  (is_weight ? weight_ : bias_) = exec.converted(std::move(value), spec_.dtype);
}

qh::Tensor QLayerNorm::get_param(const qh::Exec& exec, std::string_view name) {
  qh::Tensor found;
  state_dict(exec, [&](std::string_view key, qh::Tensor tensor) {
    if (key == name) found = std::move(tensor);
  });
  if (!found) throw no_param(name);
  return found;
}

void QLayerNorm::forward(const qh::Exec& exec, const qh_tensor* inputs, std::uint32_t,
                         qh::TensorView output) {
  if (output.dtype() != spec_.dtype)
    throw Error(QH_ERR_VALUE, "quantized activations need an input of the model's own type, " +
                                  std::string(qh::name_of(spec_.dtype)));
  if (output.elements() == 0) return;
  activations_.observe_input(exec, kernels(exec), inputs[0]);
  const qh_layers_api& layers = host().need(host().layers, QH_LAYERS_ID);
  qh::check(layers.layer_norm(exec.abi(), inputs, weight_ ? weight_.abi() : nullptr,
                              bias_ ? bias_.abi() : nullptr, spec_.eps, output.abi()));
  activations_.quantize_output(exec, kernels(exec), *output.abi());
}

void QLayerNorm::to_device(const qh::Exec& exec) {
  move_tensor(exec, weight_);
  move_tensor(exec, bias_);
}

void QLayerNorm::state_dict(const qh::Exec& exec, const qh::TensorEmitter& emit) {
  if (weight_) emit("weight", exec.share(weight_));
  if (bias_) emit("bias", exec.share(bias_));
  activations_.emit_scales(exec, emit);
}

qh::ModuleMemory QLayerNorm::memory_bytes() const {
  const auto bytes = [](const qh::Tensor& tensor) { return tensor ? tensor.view().bytes() : 0; };
  return {bytes(weight_), bytes(bias_) + activations_.bytes(), 0};
}

}  // namespace quanthost::quanto

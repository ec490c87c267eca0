// QLayerNorm on the host: no kernel package has a layer norm, and it is a few numbers a token.
#include "quantizer/qlayernorm.hpp"

#include <cmath>
#include <quanthost/cpu/formats.hpp>
#include <string>
#include <type_traits>

namespace quanthost::quanto {
namespace {

using qh::Error;

constexpr std::int64_t kRowsOfATask = 16;

template <typename T>
float value_of(T stored) {
  if constexpr (std::is_same_v<T, float>)
    return stored;
  else
    return cpu::to_float(stored);
}

template <typename T>
T stored_as(float value) {
  if constexpr (std::is_same_v<T, float>)
    return value;
  else
    return cpu::from_float<T>(value);
}

// Sums in double: the result is the rounded one whatever the order of the sum upstream takes.
template <typename T>
void normalize_row(const T* x, const T* weight, const T* bias, const LayerNormSpec& spec, T* out) {
  const auto n = static_cast<std::size_t>(spec.width);
  double mean = 0.0, square = 0.0;
  for (std::size_t i = 0; i < n; ++i) mean += value_of(x[i]);
  mean /= static_cast<double>(n);
  for (std::size_t i = 0; i < n; ++i) square += (value_of(x[i]) - mean) * (value_of(x[i]) - mean);
  const double inverse = 1.0 / std::sqrt(square / static_cast<double>(n) + spec.eps);
  for (std::size_t i = 0; i < n; ++i) {
    double y = (value_of(x[i]) - mean) * inverse;
    if (weight) y *= value_of(weight[i]);
    if (bias) y += value_of(bias[i]);
    out[i] = stored_as<T>(static_cast<float>(y));
  }
}

template <typename T>
void normalize(const qh::Exec& exec, qh::TensorView input, const qh::Tensor& weight,
               const qh::Tensor& bias, const LayerNormSpec& spec, qh::TensorView output) {
  const T* w = weight ? weight.data<T>() : nullptr;
  const T* b = bias ? bias.data<T>() : nullptr;
  exec.parallel_for(input.elements() / spec.width, kRowsOfATask,
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t row = begin; row < end; ++row)
                        normalize_row(input.data<T>() + row * spec.width, w, b, spec,
                                      output.data<T>() + row * spec.width);
                    });
}

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
  if (!exec.is_cpu()) throw unsupported("a device other than the CPU");
  if (output.dtype() != spec_.dtype)
    throw Error(QH_ERR_VALUE, "quantized activations need an input of the model's own type, " +
                                  std::string(qh::name_of(spec_.dtype)));
  if (output.elements() == 0) return;
  activations_.observe_input(exec, kernels(exec), inputs[0]);
  const qh::TensorView input(inputs[0]);
  if (spec_.dtype == qh::kFloat32) normalize<float>(exec, input, weight_, bias_, spec_, output);
  if (spec_.dtype == qh::kFloat16)
    normalize<cpu::Float16>(exec, input, weight_, bias_, spec_, output);
  if (spec_.dtype == qh::kBfloat16)
    normalize<cpu::BFloat16>(exec, input, weight_, bias_, spec_, output);
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

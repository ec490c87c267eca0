#include "layer.hpp"

namespace @name@ {
namespace {

qh::Tensor to_float(const qh::Exec& exec, const qh_tensor& from) {
  qh::Tensor out = exec.allocate(qh::kFloat32, qh::TensorView(from).shape());
  exec.copy(&from, out.abi());
  return out;
}

}  // namespace

void Layer::quantize(const qh::Exec& exec, qh::Tensor weight) {
  check_shape("weight", weight);
  dense_dtype_ = weight.view().dtype();
  weight_ = exec.converted(std::move(weight), qh::kBfloat16);
}

void Layer::check_shape(std::string_view name, const qh::Tensor& value) const {
  const std::vector<std::int64_t> expected =
      name == "weight" ? std::vector<std::int64_t>{out_features_, in_features_} : std::vector<std::int64_t>{out_features_};
  if (value.view().shape() != expected)
    throw qh::Error(QH_ERR_VALUE, "'" + std::string(name) + "' does not fit a layer with " + std::to_string(in_features_) +
                                      " inputs and " + std::to_string(out_features_) + " outputs");
}

qh::ModuleInfo Layer::describe() const { return {in_features_, out_features_, has_bias_, dense_dtype_, loaded()}; }

std::vector<qh::ParamInfo> Layer::parameters() const {
  std::vector<qh::ParamInfo> out = {{"weight", qh::kBfloat16, {out_features_, in_features_}, 2.0}};
  if (has_bias_) out.push_back({"bias", bias_ ? bias_.view().dtype() : qh::kFloat32, {out_features_}, 4.0});
  return out;
}

void Layer::set_param(const qh::Exec& exec, std::string_view name, qh::Tensor value) {
  if (name != "weight" && !(name == "bias" && has_bias_)) throw no_param(name);
  check_shape(name, value);
  if (name == "weight")
    weight_ = exec.converted(std::move(value), qh::kBfloat16);
  else
    bias_ = std::move(value);
}

void Layer::forward(const qh::Exec& exec, const qh_tensor* inputs, std::uint32_t, qh::TensorView output) {
  if (!loaded()) throw qh::Error(QH_ERR_RUNTIME, "the layer is not loaded yet");
  const qh::Tensor x = to_float(exec, *inputs), w = to_float(exec, *weight_.abi());
  const qh::Tensor bias = bias_ ? to_float(exec, *bias_.abi()) : qh::Tensor();
  const qh::Tensor y = exec.allocate(qh::kFloat32, output.shape());
  const std::int64_t tokens = x.view().elements() / in_features_;
  // Split by output rows: each row is computed the same way whatever the number of threads.
  exec.parallel_for(out_features_, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = 0; token < tokens; ++token)
      for (std::int64_t row = begin; row < end; ++row) {
        const float* from = x.data<float>() + token * in_features_;
        const float* weights = w.data<float>() + row * in_features_;
        float sum = bias ? bias.data<float>()[row] : 0.0f;
        for (std::int64_t i = 0; i < in_features_; ++i) sum += from[i] * weights[i];
        y.data<float>()[token * out_features_ + row] = sum;
      }
  });
  exec.copy(y.abi(), output.abi());
}

void Layer::state_dict(const qh::Exec& exec, const qh::TensorEmitter& emit) {
  if (!loaded()) throw qh::Error(QH_ERR_RUNTIME, "the layer is not loaded yet");
  emit("weight", exec.share(weight_));
  if (bias_) emit("bias", exec.share(bias_));
}

qh::Tensor Layer::dequantize(const qh::Exec& exec, qh::Dtype dtype) {
  if (!loaded()) throw qh::Error(QH_ERR_RUNTIME, "the layer is not loaded yet");
  return exec.converted(exec.share(weight_), dtype == qh::kNoDtype ? dense_dtype_ : dtype);
}

qh::ModuleMemory Layer::memory_bytes() const {
  return {weight_ ? weight_.view().bytes() : 0, bias_ ? bias_.view().bytes() : 0, 0};
}

}  // namespace @name@

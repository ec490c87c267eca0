#include "linear8.hpp"

#include <algorithm>

#include "absmax.hpp"

namespace absmax8 {
namespace {

// A float32 copy of a view, for arithmetic in one type.
qh::Tensor as_float(const qh::Exec& exec, const qh_tensor* from) {
  qh::Tensor out = exec.allocate(qh::kFloat32, qh::TensorView(*from).shape());
  exec.copy(from, out.abi());
  return out;
}

}  // namespace

void Linear8::quantize_rows(const qh::Exec& exec, qh::Tensor weight, std::int64_t row_begin) {
  const qh::TensorView view = weight.view();
  if (view.ndim() != 2 || view.size(1) != in_features_ || row_begin + view.size(0) > out_features_)
    throw qh::Error(QH_ERR_VALUE, "the weight does not fit a layer with " +
                                      std::to_string(in_features_) + " inputs and " +
                                      std::to_string(out_features_) + " outputs");
  if (!weight_) {
    dense_dtype_ = view.dtype();
    weight_ = exec.allocate(qh::kInt8, {out_features_, in_features_});
    scale_ = exec.allocate(qh::kFloat32, {out_features_});
  }
  const std::int64_t rows = view.size(0);
  const qh::Tensor dense = exec.converted(std::move(weight), qh::kFloat32);
  exec.parallel_for(rows, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      scale_.data<float>()[row_begin + row] =
          quantize_row(dense.data<float>() + row * in_features_, in_features_,
                       weight_.data<std::int8_t>() + (row_begin + row) * in_features_);
  });
  rows_loaded_ += rows;
}

qh::ModuleInfo Linear8::describe() const {
  const bool loaded = weight_ && scale_ && rows_loaded_ == out_features_ && (bias_ || !has_bias_);
  return {in_features_, out_features_, has_bias_, dense_dtype_, loaded};
}

std::vector<qh::ParamInfo> Linear8::parameters() const {
  std::vector<qh::ParamInfo> out = {{"weight", qh::kInt8, {out_features_, in_features_}, 1.0},
                                    {"weight_scale", qh::kFloat32, {out_features_}, 4.0}};
  if (has_bias_)
    out.push_back({"bias", bias_ ? bias_.view().dtype() : qh::kFloat32, {out_features_}, 4.0});
  return out;
}

void Linear8::set_param(const qh::Exec& exec, std::string_view name, qh::Tensor value) {
  const bool is_weight = name == "weight";
  if (!is_weight && name != "weight_scale" && !(name == "bias" && has_bias_)) throw no_param(name);
  const std::vector<std::int64_t> expected =
      is_weight ? std::vector<std::int64_t>{out_features_, in_features_}
                : std::vector<std::int64_t>{out_features_};
  if (value.view().shape() != expected)
    throw qh::Error(QH_ERR_VALUE, "'" + std::string(name) + "' has the wrong shape");
  if (is_weight) {
    if (value.view().dtype() != qh::kInt8)
      throw qh::Error(QH_ERR_TYPE, "a stored weight has to be int8, found " +
                                       std::string(qh::name_of(value.view().dtype())));
    weight_ = exec.converted(std::move(value), qh::kInt8);
    rows_loaded_ = out_features_;
  } else if (name == "weight_scale") {
    scale_ = exec.converted(std::move(value), qh::kFloat32);
  } else {
    bias_ = std::move(value);
  }
}

void Linear8::expect_loaded() const {
  if (!describe().loaded) throw qh::Error(QH_ERR_RUNTIME, "the layer is not loaded yet");
}

void Linear8::forward(const qh::Exec& exec, const qh_tensor* inputs, std::uint32_t,
                      qh::TensorView output) {
  expect_loaded();
  const qh::Tensor x = as_float(exec, inputs);
  const qh::Tensor bias = bias_ ? as_float(exec, bias_.abi()) : qh::Tensor();
  const std::int64_t tokens = x.view().elements() / in_features_;
  const qh::Tensor y = exec.allocate(qh::kFloat32, output.shape());
  exec.parallel_for(out_features_, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = 0; token < tokens; ++token)
      for (std::int64_t row = begin; row < end; ++row)
        y.data<float>()[token * out_features_ + row] =
            scale_.data<float>()[row] * dot(x.data<float>() + token * in_features_,
                                            weight_.data<std::int8_t>() + row * in_features_,
                                            in_features_) +
            (bias ? bias.data<float>()[row] : 0.0f);
  });
  exec.copy(y.abi(), output.abi());
}

void Linear8::backward_input(const qh::Exec& exec, qh::TensorView grad_output, qh::TensorView,
                             qh::TensorView grad_input) {
  expect_loaded();
  const qh::Tensor grad = as_float(exec, grad_output.abi());
  const qh::Tensor out = exec.allocate(qh::kFloat32, grad_input.shape());
  const std::int64_t tokens = grad.view().elements() / out_features_;
  exec.parallel_for(tokens, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = begin; token < end; ++token) {
      float* to = out.data<float>() + token * in_features_;
      std::fill(to, to + in_features_, 0.0f);
      for (std::int64_t row = 0; row < out_features_; ++row)
        add_scaled(weight_.data<std::int8_t>() + row * in_features_,
                   grad.data<float>()[token * out_features_ + row] * scale_.data<float>()[row],
                   in_features_, to);
    }
  });
  exec.copy(out.abi(), grad_input.abi());
}

void Linear8::to_device(const qh::Exec& exec) {
  if (!exec.is_cpu())
    throw qh::Error(QH_ERR_RUNTIME,
                    "absmax8 computes on the CPU only, not on " + std::string(exec.device_name()));
}

void Linear8::state_dict(const qh::Exec& exec, const qh::TensorEmitter& emit) {
  expect_loaded();
  emit("weight", exec.share(weight_));
  emit("weight_scale", exec.share(scale_));
  if (bias_) emit("bias", exec.share(bias_));
}

qh::Tensor Linear8::dequantize(const qh::Exec& exec, qh::Dtype dtype) {
  expect_loaded();
  qh::Tensor dense = exec.allocate(qh::kFloat32, {out_features_, in_features_});
  exec.parallel_for(out_features_, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      float* to = dense.data<float>() + row * in_features_;
      std::fill(to, to + in_features_, 0.0f);
      add_scaled(weight_.data<std::int8_t>() + row * in_features_, scale_.data<float>()[row],
                 in_features_, to);
    }
  });
  return exec.converted(std::move(dense), dtype == qh::kNoDtype ? dense_dtype_ : dtype);
}

qh::ModuleMemory Linear8::memory_bytes() const {
  if (!weight_) {  // not filled yet: one byte a weight, and a scale and perhaps a bias a row
    const auto rows = static_cast<std::uint64_t>(out_features_);
    return {rows * static_cast<std::uint64_t>(in_features_), rows * (has_bias_ ? 8 : 4), 0};
  }
  const auto bytes = [](const qh::Tensor& tensor) { return tensor ? tensor.view().bytes() : 0; };
  return {bytes(weight_), bytes(scale_) + bytes(bias_), 0};
}

}  // namespace absmax8

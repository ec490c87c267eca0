#include "host/model/layers.hpp"

#include <array>
#include <cmath>
#include <numbers>

#include "host/base/error.hpp"
#include "host/model/cpu/ops.hpp"

namespace quanthost::model {
namespace {

at::Tensor in_float32(const at::Tensor& bias) {
  return bias.defined() ? bias.to(at::kFloat) : bias;
}

}  // namespace

at::TensorOptions without_memory(at::ScalarType dtype) {
  return at::TensorOptions(dtype).device(at::kMeta);
}

Linear::Linear(std::int64_t in_features, std::int64_t out_features, bool bias,
               const at::TensorOptions& options)
    : Layer("Linear") {
  add_parameter("weight", {out_features, in_features}, options);
  bias ? add_parameter("bias", {out_features}, options) : add_absent_parameter("bias");
}

at::Tensor Linear::forward(const at::Tensor& input) {
  if (cpu::few_rows(input, weight())) return cpu::linear(input, {{weight(), bias()}}).front();
  if (cpu::widens(weight().scalar_type(), input.scalar_type()))
    return at::linear(input, cpu::widened(weight()), bias());
  if (cpu::better_in_float32(input)) {
    return at::linear(input.to(at::kFloat), cpu::widened(weight()), in_float32(bias()))
        .to(at::kHalf);
  }
  return at::linear(input, weight(), bias());
}

Conv1D::Conv1D(std::int64_t in_features, std::int64_t out_features,
               const at::TensorOptions& options)
    : Layer("Conv1D") {
  add_parameter("weight", {in_features, out_features}, options);
  add_parameter("bias", {out_features}, options);
}

at::Tensor Conv1D::forward(const at::Tensor& input) {
  const at::Tensor rows = input.reshape({-1, input.size(-1)});
  std::vector<std::int64_t> shape = input.sizes().vec();
  shape.back() = out_features();
  if (cpu::better_in_float32(rows)) {
    return at::addmm(in_float32(bias()), rows.to(at::kFloat), cpu::widened(weight()))
        .to(at::kHalf)
        .view(shape);
  }
  return at::addmm(bias(), rows, weight()).view(shape);
}

Embedding::Embedding(std::int64_t rows, std::int64_t width, const at::TensorOptions& options,
                     std::string class_name)
    : Layer(std::move(class_name)), dtype_(c10::typeMetaToScalarType(options.dtype())) {
  add_parameter("weight", {rows, width}, options);
}

at::Tensor Embedding::forward(const at::Tensor& ids) {
  return at::embedding(weight(), ids).to(output_dtype());
}

at::ScalarType Embedding::output_dtype() const {
  return cpu::widens(weight().scalar_type(), dtype_) ? dtype_ : weight().scalar_type();
}

LayerNorm::LayerNorm(std::int64_t width, double eps, bool affine, bool bias,
                     const at::TensorOptions& options)
    : Layer("LayerNorm"), width_(width), eps_(eps) {
  affine ? add_parameter("weight", {width}, options) : add_absent_parameter("weight");
  affine&& bias ? add_parameter("bias", {width}, options) : add_absent_parameter("bias");
}

at::Tensor LayerNorm::forward(const at::Tensor& input) {
  return at::layer_norm(input, {width_}, weight(), bias(), eps_);
}

RMSNorm::RMSNorm(std::int64_t width, double eps, Scale scale, std::string class_name,
                 const at::TensorOptions& options)
    : Layer(std::move(class_name)), eps_(eps), scale_(scale) {
  add_parameter("weight", {width}, options);
}

at::Tensor RMSNorm::forward(const at::Tensor& input) {
  if (cpu::fits(input) && input.scalar_type() == weight().scalar_type())
    return cpu::rms_norm(input, spec());
  const at::Tensor x = input.to(at::kFloat);
  const at::Tensor normed = x * at::rsqrt(x.pow(2).mean(-1, true) + eps_);
  if (scale_ == Scale::kOnePlusWeight)
    return (normed * (weight().to(at::kFloat) + 1.0)).to(input.scalar_type());
  return weight() * normed.to(input.scalar_type());
}

cpu::NormSpec RMSNorm::spec() const { return {weight(), eps_, scale_ == Scale::kOnePlusWeight}; }

Conv2d::Conv2d(std::int64_t in_channels, std::int64_t out_channels, std::int64_t kernel,
               std::int64_t stride, bool bias, const at::TensorOptions& options)
    : Layer("Conv2d"), stride_(stride) {
  add_parameter("weight", {out_channels, in_channels, kernel, kernel}, options);
  bias ? add_parameter("bias", {out_channels}, options) : add_absent_parameter("bias");
}

at::Tensor Conv2d::forward(const at::Tensor& input) {
  return at::conv2d(input, weight(), bias(), stride_);
}

struct Activation::Row {
  const char* name;
  const char* class_name;  // as transformers' ACT2FN gives it
  Function function;
};

namespace {

at::Tensor silu(const at::Tensor& x) { return at::silu(x); }
at::Tensor gelu(const at::Tensor& x) { return at::gelu(x, "none"); }
at::Tensor gelu_tanh(const at::Tensor& x) { return at::gelu(x, "tanh"); }
// GPT-2's own two forms of it are computed tensor by tensor in transformers, and rounded each time.
at::Tensor gelu_new(const at::Tensor& x) {
  if (x.scalar_type() == at::kFloat) return gelu_tanh(x);
  const at::Tensor inner = std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * at::pow(x, 3.0));
  return 0.5 * x * (1.0 + at::tanh(inner));
}
at::Tensor gelu_fast(const at::Tensor& x) {
  if (x.scalar_type() == at::kFloat) return gelu_tanh(x);
  return 0.5 * x * (1.0 + at::tanh(x * 0.7978845608 * (1.0 + 0.044715 * x * x)));
}
at::Tensor relu(const at::Tensor& x) { return at::relu(x); }
at::Tensor tanh(const at::Tensor& x) { return at::tanh(x); }
at::Tensor quick_gelu(const at::Tensor& x) { return x * at::sigmoid(x * 1.702); }

}  // namespace

const Activation::Row& Activation::row(const std::string& name) {
  static constexpr std::array<Row, 9> kRows{{
      {"silu", "SiLUActivation", silu},
      {"swish", "SiLU", silu},
      {"gelu", "GELUActivation", gelu},
      {"gelu_new", "NewGELUActivation", gelu_new},
      {"gelu_fast", "FastGELUActivation", gelu_fast},
      {"gelu_pytorch_tanh", "GELUTanh", gelu_tanh},
      {"relu", "ReLU", relu},
      {"tanh", "Tanh", tanh},
      {"quick_gelu", "QuickGELUActivation", quick_gelu},
  }};
  for (const Row& candidate : kRows) {
    if (name == candidate.name) return candidate;
  }
  fail(ErrorKind::kNotImplemented, "config.json: activation function '{}' is not known", name);
}

Activation::Activation(const std::string& name) : Activation(row(name)) {}

Activation::Activation(const Row& row) : Layer(row.class_name), function_(row.function) {}

bool Activation::is_silu() const { return function_ == silu; }

}  // namespace quanthost::model

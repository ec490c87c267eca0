// QLinear: the forward that its weight and activations call for.
#include "quantizer/qlinear.hpp"

#include <string>

namespace quanthost::quanto {
namespace {

using qh::Error;

}  // namespace

qh::ModuleInfo QLinear::describe() const {
  return {spec_.shape[1], spec_.shape[0], spec_.has_bias, spec_.dtype, has_all_parts()};
}

void QLinear::forward(const qh::Exec& exec, const qh_tensor* inputs, std::uint32_t,
                      qh::TensorView output) {
  freeze(exec);
  if (spec_.activations) return forward_quantized(exec, inputs[0], output);
  const KernelPackage& package = kernels(exec);
  const qh_quanto_weight w = weight_.abi();
  qh::Tensor bias;
  if (bias_ && bias_.view().dtype() != output.dtype()) {
    bias = exec.allocate(output.dtype(), {spec_.shape[0]});
    exec.copy(bias_.abi(), bias.abi());
  }
  qh::check(package.table.linear(package.self, exec.abi(), inputs, &w,
                                 bias    ? bias.abi()
                                 : bias_ ? bias_.abi()
                                         : nullptr,
                                 output.abi()));
}

// As upstream's hooks: the input is quantized with input_scale, the output with output_scale.
void QLinear::forward_quantized(const qh::Exec& exec, const qh_tensor& input,
                                qh::TensorView output) {
  if (output.elements() == 0) return;
  const KernelPackage& package = kernels(exec);
  if (output.dtype() != weight_.dtype())
    throw Error(QH_ERR_VALUE, "quantized activations need an input of the weight's own type, " +
                                  std::string(qh::name_of(weight_.dtype())));
  const Activations::Codes codes = activations_.quantize_input(exec, package, input);
  const bool exact_sums = codes.data.view().dtype() == qh::kInt8 && spec_.weights == QType::int8;
  if (activations_.calibrating() && !exact_sums && exec.is_cpu() && output.dtype() == qh::kFloat32)
    multiply_densely(exec, codes, output);
  else
    multiply(exec, codes, output);
  activations_.quantize_output(exec, package, *output.abi());
}

void QLinear::multiply(const qh::Exec& exec, const Activations::Codes& codes,
                       qh::TensorView output) {
  const KernelPackage& package = kernels(exec);
  const qh_quanto_weight w = weight_.abi();
  const qh_tensor* bias = bias_ ? bias_.abi() : nullptr;
  if (!is_affine(spec_.weights)) {
    const qh_status status = package.table.linear_quantized(
        package.self, exec.abi(), codes.data.abi(), codes.scale, &w, bias, output.abi());
    // A device may have a product of int8 by int8 alone.
    if (status != QH_ERR_NOT_IMPLEMENTED) return qh::check(status);
  }
  const qh::Tensor x = exec.allocate(weight_.dtype(), codes.data.view().shape());
  activations_.dequantize(exec, package, codes, *x.abi());
  qh::check(package.table.linear(package.self, exec.abi(), x.abi(), &w, bias, output.abi()));
}

// Upstream's own product: dense matrices, multiplied by the same library, so that sums agree to the
// last bit. While scales are found that matters: an output that lies between two codes would take
// the other one, and the difference would go into every scale behind it. The weight carries the
// input's scale where upstream's does.
void QLinear::multiply_densely(const qh::Exec& exec, const Activations::Codes& codes,
                               qh::TensorView output) {
  const KernelPackage& package = kernels(exec);
  const bool affine = is_affine(spec_.weights);
  const std::int64_t inputs = spec_.shape[1], outputs = spec_.shape[0];
  const std::int64_t tokens = output.elements() / outputs;
  const qh::Tensor x = exec.allocate(qh::kFloat32, {tokens, inputs});
  activations_.dequantize(exec, package, codes, *x.abi(), affine ? codes.scale : 1.0f);
  const qh::Tensor dense = weight_.dequantize(exec, package, affine ? 1.0f : codes.scale);
  const std::int64_t shape[] = {tokens, outputs};
  qh_tensor sums = *output.abi();
  sums.ndim = 2;
  sums.shape = const_cast<std::int64_t*>(shape);
  sums.strides = nullptr;
  const qh_linalg_api& linalg = host().need(host().linalg, QH_LINALG_ID);
  qh::check(
      linalg.matmul(exec.abi(), QH_LINALG_TRANSPOSE_B, 1.0, x.abi(), dense.abi(), 0.0, &sums));
  if (!bias_) return;
  const qh::Tensor bias = exec.converted(exec.share(bias_), qh::kFloat32);
  const auto* added = bias.data<float>();
  auto* y = output.data<float>();
  for (std::int64_t i = 0; i < tokens * outputs; ++i) y[i] += added[i % outputs];
}

void QLinear::backward_input(const qh::Exec& exec, qh::TensorView grad_output, qh::TensorView,
                             qh::TensorView grad_input) {
  expect_frozen();
  const KernelPackage& package = kernels(exec);
  if (!package.table.backward_input) throw unsupported("the gradient of its input on this device");
  const qh_quanto_weight w = weight_.abi();
  qh::check(package.table.backward_input(package.self, exec.abi(), grad_output.abi(), &w,
                                         grad_input.abi()));
}

qh::Tensor QLinear::dequantize(const qh::Exec& exec, qh::Dtype dtype) {
  expect_frozen();
  return exec.converted(weight_.dequantize(exec, kernels(exec)),
                        dtype == qh::kNoDtype ? weight_.dtype() : dtype);
}

}  // namespace quanthost::quanto

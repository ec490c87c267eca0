// QConv2d: the weight is dequantized and the host convolves, which is what upstream does too.
#include "quantizer/qconv2d.hpp"

#include <string>

namespace quanthost::quanto {

using qh::Error;

qh::ModuleInfo QConv2d::describe() const {
  return {0, spec_.shape[0], spec_.has_bias, spec_.dtype, has_all_parts()};
}

std::pair<qh::Dtype, std::vector<std::int64_t>> QConv2d::output_info(const qh_tensor* inputs,
                                                                     std::uint32_t) {
  const qh::TensorView x(inputs[0]);
  if (x.ndim() != 4 || x.size(1) != geometry_.in_channels)
    throw Error(QH_ERR_VALUE, "a convolution of " + std::to_string(geometry_.in_channels) +
                                  " channels has an input of shape " + shape_text(x.shape()));
  std::vector<std::int64_t> shape{x.size(0), spec_.shape[0]};
  for (int i = 0; i < 2; ++i) {
    const std::int64_t reach = geometry_.dilation[i] * (geometry_.kernel[i] - 1) + 1;
    shape.push_back((x.size(2 + i) + 2 * geometry_.padding[i] - reach) / geometry_.stride[i] + 1);
  }
  return {x.dtype(), std::move(shape)};
}

void QConv2d::forward(const qh::Exec& exec, const qh_tensor* inputs, std::uint32_t,
                      qh::TensorView output) {
  freeze(exec);
  if (output.elements() == 0) return;
  if (output.dtype() != weight_.dtype())
    throw Error(QH_ERR_VALUE, "a quantized convolution needs an input of the weight's own type, " +
                                  std::string(qh::name_of(weight_.dtype())));
  const qh_layers_api& layers = host().need(host().layers, QH_LAYERS_ID);
  if (spec_.activations) activations_.observe_input(exec, kernels(exec), inputs[0]);
  const qh::Tensor dense = weight_.dequantize(exec, kernels(exec));
  qh::check(layers.conv2d(exec.abi(), inputs, dense.abi(), bias_ ? bias_.abi() : nullptr,
                          &geometry_, output.abi()));
  if (spec_.activations) activations_.quantize_output(exec, kernels(exec), *output.abi());
}

qh::Tensor QConv2d::dequantize(const qh::Exec& exec, qh::Dtype dtype) {
  expect_frozen();
  return exec.converted(weight_.dequantize(exec, kernels(exec)),
                        dtype == qh::kNoDtype ? weight_.dtype() : dtype);
}

}  // namespace quanthost::quanto

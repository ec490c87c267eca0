// Copies through qh.tensor/1.
#include "quantizer/host_tensor.hpp"

namespace quanthost::gptq {

qh_tensor host_view(void* data, qh::Dtype dtype, std::vector<std::int64_t>& shape) {
  return {data,  {QH_DEVICE_CPU, 0}, static_cast<std::int32_t>(shape.size()),
          dtype, shape.data(),       nullptr,
          0};
}

qh::Tensor from_host(const qh::Exec& exec, qh::Dtype dtype, std::vector<std::int64_t> shape,
                     const void* data) {
  qh::Tensor out = exec.allocate(dtype, shape);
  const qh_tensor from = host_view(const_cast<void*>(data), dtype, shape);  // only read from
  exec.copy(&from, out.abi());
  return out;
}

qh::Tensor transposed(const qh::Exec& exec, const qh_tensor& matrix, qh::Dtype dtype) {
  const qh::TensorView view(matrix);
  std::vector<std::int64_t> shape = {view.size(1), view.size(0)};
  std::vector<std::int64_t> strides = {1, view.size(1)};
  qh_tensor turned = matrix;
  turned.shape = shape.data();
  turned.strides = strides.data();
  qh::Tensor out = exec.allocate(dtype, shape);
  exec.copy(&turned, out.abi());
  return out;
}

}  // namespace quanthost::gptq

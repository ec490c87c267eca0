// Tensors between host memory and exec's device.
#pragma once

#include <quanthost/plugin/host.hpp>
#include <vector>

namespace quanthost::gptq {

// A view of contiguous host memory; `shape` and `data` outlive it.
qh_tensor host_view(void* data, qh::Dtype dtype, std::vector<std::int64_t>& shape);

// The elements in host memory, converted to `dtype`, whose size is that of T. Waits for the device.
template <typename T>
std::vector<T> to_host(const qh::Exec& exec, const qh_tensor& tensor, qh::Dtype dtype) {
  std::vector<std::int64_t> shape(tensor.shape, tensor.shape + tensor.ndim);
  std::vector<T> out(static_cast<std::size_t>(qh::TensorView(tensor).elements()));
  const qh_tensor to = host_view(out.data(), dtype, shape);
  exec.copy(&tensor, &to);
  const qh_tensor_api& tensors = exec.host().tensors;
  if (tensors.synchronize) qh::check(tensors.synchronize(exec.abi()));
  return out;
}

// A tensor on exec's device with a copy of host data.
qh::Tensor from_host(const qh::Exec& exec, qh::Dtype dtype, std::vector<std::int64_t> shape,
                     const void* data);

// [rows, columns] as a contiguous [columns, rows] of element type `dtype`.
qh::Tensor transposed(const qh::Exec& exec, const qh_tensor& matrix, qh::Dtype dtype);

}  // namespace quanthost::gptq

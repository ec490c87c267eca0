// Copies between host memory and a device through qh.tensor/1.
#include "plugins/bnb4/quantizer/host_tensor.hpp"

namespace quanthost::bnb4 {
namespace {

qh_tensor host_view(void* data, qh::Dtype dtype, std::vector<int64_t>& shape) {
  return {data,  {QH_DEVICE_CPU, 0}, static_cast<int32_t>(shape.size()),
          dtype, shape.data(),       nullptr,
          0};
}

}  // namespace

qh::Tensor device_tensor(const qh::Exec& exec, qh::Dtype dtype, std::vector<int64_t> shape,
                         const void* data) {
  qh::Tensor out = exec.allocate(dtype, shape);
  const qh_tensor from = host_view(const_cast<void*>(data), dtype, shape);  // only read from
  exec.copy(&from, out.abi());
  return out;
}

std::string host_bytes(const qh::Exec& exec, const qh::Tensor& tensor) {
  std::vector<int64_t> shape = tensor.view().shape();
  std::string out(tensor.view().bytes(), '\0');
  const qh_tensor to = host_view(out.data(), tensor.view().dtype(), shape);
  exec.copy(tensor.abi(), &to);
  const qh_tensor_api& tensors = exec.host().tensors;
  if (tensors.synchronize) qh::check(tensors.synchronize(exec.abi()));
  return out;
}

qh::Tensor on_device(const qh::Exec& exec, qh::Tensor tensor) {
  if (!tensor) return tensor;
  const qh_device device = exec.abi()->device;
  const qh_device current = tensor.abi()->device;
  if (device.type == current.type && device.id == current.id) return tensor;
  qh::Tensor out = exec.allocate(tensor.view().dtype(), tensor.view().shape());
  exec.copy(tensor.abi(), out.abi());
  return out;
}

}  // namespace quanthost::bnb4

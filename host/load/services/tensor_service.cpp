// qh.tensor/1: memory on the device of an exec, and copies that convert.
#include "host/load/abi_strings.hpp"
#include "host/load/exec.hpp"
#include "host/load/services/services.hpp"
#include "host/load/tensor_bridge.hpp"

namespace quanthost::services {
namespace {

at::IntArrayRef checked_shape(std::int32_t ndim, const std::int64_t* shape) {
  if (ndim < 0 || ndim > 64 || (ndim > 0 && !shape))
    fail(ErrorKind::kValue, "a tensor cannot have {} dimensions", ndim);
  for (std::int32_t i = 0; i < ndim; ++i) {
    if (shape[i] < 0)
      fail(ErrorKind::kValue, "dimension {} of a tensor is negative: {}", i, shape[i]);
  }
  return {shape, static_cast<std::size_t>(ndim)};
}

qh_status allocate(const qh_exec* exec, qh_dtype dtype, std::int32_t ndim,
                   const std::int64_t* shape, qh_managed_tensor** out) {
  return guard_call([&] {
    const at::IntArrayRef sizes = checked_shape(ndim, shape);
    *out = export_tensor(exec_from_abi(exec).empty(sizes, to_scalar_type(dtype)));
  });
}

qh_status copy(const qh_exec*, const qh_tensor* from, const qh_tensor* to) {
  return guard_call([&] {
    at::Tensor target = alias(*to);
    const at::Tensor source = alias(*from);
    if (source.sizes() != target.sizes()) {
      fail(ErrorKind::kValue, "copy: the tensors have different shapes, {} and {}",
           c10::str(source.sizes()), c10::str(target.sizes()));
    }
    target.copy_(source, /*non_blocking=*/true);
  });
}

qh_status share(const qh_exec*, qh_managed_tensor* tensor, qh_dtype dtype, std::int32_t ndim,
                const std::int64_t* shape, qh_managed_tensor** out) {
  return guard_call([&] {
    const at::IntArrayRef sizes = checked_shape(ndim, shape);
    const at::ScalarType type = to_scalar_type(dtype);
    at::Tensor shared = shared_tensor(tensor);
    const std::size_t bytes =
        static_cast<std::size_t>(c10::multiply_integers(sizes)) * c10::elementSize(type);
    if (bytes != shared.nbytes()) {
      fail(ErrorKind::kValue, "share: the new shape takes {} bytes, the tensor has {}", bytes,
           shared.nbytes());
    }
    if (!shared.is_contiguous()) fail(ErrorKind::kValue, "share: the tensor is not contiguous");
    *out = export_tensor(shared.scalar_type() == type ? shared.view(sizes)
                                                      : shared.flatten().view(type).view(sizes));
  });
}

qh_status synchronize(const qh_exec* exec) {
  return guard_call([&] { exec_from_abi(exec).synchronize(); });
}

}  // namespace

const qh_tensor_api& tensor() {
  static const qh_tensor_api table{sizeof(qh_tensor_api), 0, allocate, copy, share, synchronize};
  return table;
}

}  // namespace quanthost::services

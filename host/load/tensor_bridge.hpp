// LibTorch tensors as the ABI's and back, without copying.
#pragma once

#include <ATen/core/Tensor.h>
#include <quanthost/abi/tensor.h>

#include "host/checkpoint/dtype.hpp"

namespace quanthost {

qh_dtype to_qh_dtype(at::ScalarType type);
// Throws kType for element types that LibTorch has not, such as int4.
at::ScalarType to_scalar_type(qh_dtype dtype);
at::ScalarType to_scalar_type(Dtype dtype);
Dtype to_dtype(at::ScalarType type);

inline bool operator==(qh_dtype a, qh_dtype b) {
  return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes;
}
inline bool is_none(qh_dtype dtype) { return dtype.code == 0 && dtype.bits == 0; }
// "bfloat16", "int4", "none": also for types that only size a model.
std::string name_of(qh_dtype dtype);
qh_dtype qh_dtype_named(std::string_view torch_name);  // throws kValue

// A view of the tensor's memory; shape and strides are the tensor's own, so it lives as long as
// that.
qh_tensor view_of(const at::Tensor& tensor);

// A tensor of LibTorch's over a borrowed view.
at::Tensor alias(const qh_tensor& view);

// Another owner of the tensor's memory, for the other side.
qh_managed_tensor* export_tensor(at::Tensor tensor);
// Takes the tensor over; its deleter runs when the last user is gone. One that came from
// export_tensor is unwrapped.
at::Tensor import_tensor(qh_managed_tensor* tensor);

// A further user of the tensor: shares what export_tensor holds, and views what somebody else
// manages (`tensor` must then outlive the result).
at::Tensor shared_tensor(const qh_managed_tensor* tensor);

// Receives tensors by name from a plugin.
qh_tensor_sink tensor_sink(std::vector<std::pair<std::string, at::Tensor>>& out);

}  // namespace quanthost

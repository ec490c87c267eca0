// Small tensors between host memory and exec's device.
#ifndef QUANTHOST_PLUGINS_BNB4_QUANTIZER_HOST_TENSOR_HPP
#define QUANTHOST_PLUGINS_BNB4_QUANTIZER_HOST_TENSOR_HPP

#include <quanthost/plugin.hpp>
#include <string>
#include <vector>

#include "plugins/bnb4/dynamic_map.hpp"

namespace quanthost::bnb4 {

// A tensor on exec's device with a copy of contiguous host data.
qh::Tensor device_tensor(const qh::Exec& exec, qh::Dtype dtype, std::vector<int64_t> shape,
                         const void* data);
// The tensor's bytes in host memory; waits for the device.
std::string host_bytes(const qh::Exec& exec, const qh::Tensor& tensor);
// A copy on exec's device; the same tensor when it is there already.
qh::Tensor on_device(const qh::Exec& exec, qh::Tensor tensor);

}  // namespace quanthost::bnb4

#endif

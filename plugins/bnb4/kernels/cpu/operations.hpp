// Whole operations on the CPU: a kernel table, split over the host's threads. Arguments are checked
// by the caller.
#ifndef QUANTHOST_PLUGINS_BNB4_KERNELS_CPU_OPERATIONS_HPP
#define QUANTHOST_PLUGINS_BNB4_KERNELS_CPU_OPERATIONS_HPP

#include <quanthost/abi/tensor.h>

#include "plugins/bnb4/kernels/cpu/kernels.hpp"

namespace quanthost::bnb4::cpu {

struct QuantizeRequest {
  const void* source;
  FloatType type;
  int64_t count;
  int64_t blocksize;
  QuantType quant_type;
  Rule rule;
  uint8_t* packed;
  float* absmax;
};

struct DequantizeRequest {
  const uint8_t* packed;
  const float* absmax;  // one for each block; null when `nested` is given
  const NestedScales* nested;
  int64_t count;
  int64_t blocksize;
  QuantType quant_type;
  FloatType type;
  void* out;
};

// A weight whose scales may be nested: then weight.absmax is null.
struct LinearRequest {
  PackedMatrix weight;
  const NestedScales* nested;
  const void* input;  // [batch, columns]
  FloatType input_type;
  FloatType compute;
  int64_t batch;
  const void* bias;  // null, or [rows] of bias_type
  FloatType bias_type;
  void* output;  // [batch, rows] of input_type
};

struct BackwardRequest {
  PackedMatrix weight;
  const NestedScales* nested;
  const void* grad_output;  // [batch, rows]
  FloatType type;           // of both gradients
  int64_t batch;
  void* grad_input;  // [batch, columns]
};

qh_status quantize(const KernelTable& kernels, const qh_exec& exec, const QuantizeRequest& request);
qh_status dequantize(const KernelTable& kernels, const qh_exec& exec,
                     const DequantizeRequest& request);
qh_status linear(const KernelTable& kernels, const qh_exec& exec, const LinearRequest& request);
qh_status backward(const KernelTable& kernels, const qh_exec& exec, const BackwardRequest& request);

// Double quantization of block scales: codes, their own scales, and the mean that was subtracted.
qh_status quantize_scales(const float* absmax, int64_t count, Rule rule, uint8_t* codes,
                          float* nested_absmax, float* offset);
// 8-bit blockwise quantization to the dynamic map.
void quantize_8bit(const float* values, int64_t count, int64_t blocksize, Rule rule, uint8_t* codes,
                   float* absmax);

}  // namespace quanthost::bnb4::cpu

#endif

// The GPU kernels as functions of the host: each queues its work on a stream. Rules are CUDA's
// unless an argument says otherwise. Arguments are checked by the caller.
#ifndef QUANTHOST_PLUGINS_BNB4_KERNELS_GPU_LAUNCHERS_HPP
#define QUANTHOST_PLUGINS_BNB4_KERNELS_GPU_LAUNCHERS_HPP

#include <cstdint>
#include <string>

#include "plugins/bnb4/format.hpp"

namespace quanthost::bnb4::gpu_kernels {

// Scales as the package's table has them, on the device.
struct Scales {
  const float* absmax;
  const uint8_t* codes;
  const float* nested_absmax;
  const float* nested_map;
  const float* offset;
  int64_t nested_blocksize;
};

struct Weight {
  const uint8_t* packed;
  Scales scales;
  QuantType type;
  int64_t rows;
  int64_t columns;
  int64_t blocksize;
};

struct Forward {
  const void* input;
  const void* bias;  // may be null
  void* output;
  int64_t batch;
  FloatType type;
  FloatType bias_type;
  FloatType compute;
};

void quantize(void* stream, const void* source, FloatType type, int64_t count, int64_t blocksize,
              QuantType quant_type, Rule rule, uint8_t* packed, float* absmax);
void dequantize(void* stream, const Weight& weight, FloatType type, void* out);
// `offset`, when given, points to a value that is subtracted first.
void quantize_8bit(void* stream, const float* values, const float* offset, int64_t count,
                   int64_t blocksize, uint8_t* codes, float* absmax);
void dequantize_8bit(void* stream, const uint8_t* codes, const float* absmax, const float* map,
                     int64_t count, int64_t blocksize, float* out);
void mean(void* stream, const float* values, int64_t count, float* out);
void forward(void* stream, const Weight& weight, const Forward& args);
void backward(void* stream, const Weight& weight, const void* grad_output, FloatType type,
              int64_t batch, void* grad_input);

// Empty when this library's kind of device can be used, else the first cause why not.
std::string why_unavailable();

}  // namespace quanthost::bnb4::gpu_kernels

#endif

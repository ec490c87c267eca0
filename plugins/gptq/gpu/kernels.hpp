// What runs on a GPU, one signature for each operation. Included by C++ and by kernel sources. All
// pointers are to device memory; everything queues on the stream and throws gpu::Error.
#pragma once

#include <cstdint>
#include <string>

namespace quanthost::gptq::gpu_kernels {

enum class Element : std::int32_t { f32, f16, bf16 };

// As qh_gptq_weight.
struct Weight {
  std::int32_t bits;
  Element scale_type;
  std::int64_t inputs, outputs, groups;
  const std::uint32_t* qweight;
  const std::uint32_t* qzeros;
  const void* scales;
  const std::int32_t* g_idx;
  const std::int32_t* input_order;  // null: stored row i is input i
};

struct Product {
  Weight weight;
  Element type, bias_type;
  const void* input;
  const void* bias;  // null: none
  void* output;
  std::int64_t batch;
};

struct Options {
  std::int32_t bits;
  bool symmetric;
  float mse_exponent;
};

struct Sweep {
  Options grid;
  bool fixed_grids;
  std::int64_t rows, columns, group_size, groups;
  float* weight;
  const float* upper;
  const std::int32_t* group_of;
  float* scales;
  std::uint8_t* zeros;
  std::uint8_t* codes;
  float* losses;
  float* errors;  // [rows, 128]
};

// Stored row i of `qweight` becomes what row order[i] of the weight is.
void gather_rows(void* stream, const Weight&, const std::int32_t* order, std::uint32_t* qweight);
void dequantize(void* stream, const Weight&, Element type, void* out);
void forward(void* stream, const Product&);
void backward_input(void* stream, const Product&);

void add_to_hessian(void* stream, Element type, const void* inputs, std::int64_t tokens,
                    std::int64_t columns, float keep, float factor, float* hessian);
void find_grids(void* stream, const Options&, const float* weight, std::int64_t rows,
                std::int64_t columns, std::int64_t group_size, float* scales, std::uint8_t* zeros);
void sweep(void* stream, const Sweep&);

void to_host(void* stream, void* host, const void* device, std::uint64_t bytes);    // waits
void to_device(void* stream, void* device, const void* host, std::uint64_t bytes);  // waits
std::string why_unavailable();

}  // namespace quanthost::gptq::gpu_kernels

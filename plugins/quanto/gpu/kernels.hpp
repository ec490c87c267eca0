// What runs on a GPU, one signature for each operation. Included by C++ and by kernel sources.
#pragma once

#include <cstdint>
#include <quanthost/cpu/formats.hpp>

namespace quanthost::quanto::gpu_kernels {

enum class Element : std::int32_t { f32 = 1, f16 = 2, bf16 = 3 };
enum class Codes : std::int32_t { affine, int8, float8 };

// A matrix with one scale a row, as Matrix in cpu/kernels.hpp, with all that a device cannot look
// up by itself.
struct DeviceMatrix {
  Element element;
  Codes codes;
  cpu::Float8Format float8;
  float largest;  // divisor of the symmetric scale
  std::int32_t bits, per_byte, per_tensor, integer_shift;
  std::int64_t rows, columns, packed_rows;
  std::uint8_t* data;
  void* scale;
  void* shift;
};

struct DeviceLinear {
  DeviceMatrix weight;
  Element element;  // of x, bias and y
  std::int64_t tokens, outputs, inputs, groups;
  const void* x;
  const void* bias;
  void* y;
  float x_scale;  // of int8 activations
};

// All queue on the stream and throw gpu::Error.
void quantize(void* stream, const DeviceMatrix&, const void* base, bool given_scale);
void dequantize(void* stream, const DeviceMatrix&, void* out);
// The bits of the largest magnitude; waits for the stream. `scratch` holds four bytes on the
// device.
std::uint32_t absmax_bits(void* stream, Element, const void* x, std::int64_t count, void* scratch);
void linear(void* stream, const DeviceLinear&);
void linear_int8(void* stream, const DeviceLinear&);
void backward_input(void* stream, const DeviceLinear&);  // x is grad_y, y is grad_x
void probe();  // throws with the first cause when there is no such device

}  // namespace quanthost::quanto::gpu_kernels

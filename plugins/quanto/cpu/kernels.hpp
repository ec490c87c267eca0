// What a CPU instruction set offers to the package: range functions without any knowledge of
// threads, tensors or errors. The package checks the arguments, splits the ranges over the host's
// threads and picks the table.
#pragma once

#include <cstdint>
#include <quanthost/cpu/features.hpp>

#include "format.hpp"

namespace quanthost::quanto {

// A quantized matrix, one scale a row. `data` is packed when `packed`, else one byte a value.
struct Matrix {
  QType qtype;
  Dtype dtype;           // of scale and shift, and of what it dequantizes to
  std::int64_t rows;     // scales
  std::int64_t columns;  // values of a row
  bool packed;
  bool per_tensor;     // one scale for all rows
  bool integer_shift;  // shift holds uint8 zero points
  std::uint8_t* data;
  void* scale;
  void* shift;  // affine types only

  [[gnu::always_inline]] int per_byte() const { return packed ? values_per_byte(qtype) : 1; }
  [[gnu::always_inline]] std::int64_t packed_rows() const { return ceil_div(rows, per_byte()); }
};

struct QuantizeArgs {
  Matrix matrix;
  const void* base;  // [rows, columns] of matrix.dtype
  bool given_scale;  // scale (and shift) are inputs
};
struct DequantizeArgs {
  Matrix matrix;
  void* out;  // [rows, columns] of matrix.dtype
};

// y[tokens, outputs] = x[tokens, inputs] · Wᵀ + bias; W is a Matrix whose rows are (output, group).
struct LinearArgs {
  Matrix weight;
  std::int64_t outputs, inputs, groups;  // groups of a row of W
  Dtype x_dtype;                         // of x, bias and y
  std::int64_t tokens;
  const void* x;
  const void* bias;  // or NULL
  void* y;
  const float*
      output_scale;  // [outputs], instead of weight.scale, for quantized activations; or NULL
  void* staged;      // x as the path wants it; written by stage
};

// One way to compute a linear layer. `stage` fills args.staged for items [begin, end) of
// stage_items; `run` computes the outputs of items [begin, end) of run_items, with `scratch` of its
// own.
struct LinearPath {
  const char* name;
  std::int64_t (*staged_bytes)(const LinearArgs&);
  std::int64_t (*stage_items)(const LinearArgs&);
  void (*stage)(const LinearArgs&, std::int64_t begin, std::int64_t end);
  std::int64_t (*run_items)(const LinearArgs&);
  std::int64_t (*scratch_bytes)(const LinearArgs&);
  void (*run)(const LinearArgs&, std::int64_t begin, std::int64_t end, void* scratch);
};

struct Kernels {
  cpu::Isa isa;
  // Packed rows [begin, end).
  void (*quantize)(const QuantizeArgs&, std::int64_t begin, std::int64_t end);
  void (*dequantize)(const DequantizeArgs&, std::int64_t begin, std::int64_t end);
  // The bits of the largest |x| of [begin, end); a NaN is larger than everything.
  std::uint32_t (*absmax_bits)(const void* x, Dtype, std::int64_t begin, std::int64_t end);
  // The fastest path that can do this.
  const LinearPath& (*linear)(const LinearArgs&);
  // x int8 [tokens, inputs], W int8: exact integer sums, then one rounding with output_scale.
  const LinearPath& (*linear_int8)(const LinearArgs&);
  // grad_x[tokens, inputs] = grad_y[tokens, outputs] · W for columns [64 begin, 64 end); x is
  // grad_y, y is grad_x.
  const LinearPath& (*backward)(const LinearArgs&);
};

const Kernels& scalar_kernels();
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
const Kernels& avx512_vnni_kernels();
const Kernels& avx512_bf16_kernels();
const Kernels& amx_kernels();

// The table for a level; a level this build was not made for gives the next lower one.
const Kernels& kernels_for(cpu::Isa);

}  // namespace quanthost::quanto

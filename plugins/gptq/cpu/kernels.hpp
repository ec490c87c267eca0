// What a CPU instruction set offers to the package: range functions without any knowledge of
// threads or errors. The package checks arguments and splits the ranges over the host's threads.
#pragma once

#include <cstdint>
#include <quanthost/cpu/features.hpp>

namespace quanthost::gptq {

enum class FloatType { f32, f16, bf16 };

// Rows are cut into slabs of 32, whose codes are whole words for every width; outputs into strips.
inline constexpr std::int64_t kSlab = 32;
inline constexpr std::int64_t kStrip = 64;

struct Matrix {
  int bits;
  std::int64_t inputs, outputs, groups;
  const std::uint32_t* qweight;
  const std::uint32_t* qzeros;
  const void* scales;
  FloatType scale_type;
  const std::int32_t* g_idx;
  const std::int32_t* input_order;  // null: stored row i is input i
};

struct ProductArgs {
  Matrix weight;
  const void* input;
  const void* bias;  // null: none
  void* output;
  std::int64_t batch;
  FloatType type;
  FloatType bias_type;
  float* staged;  // the input in float32, [batch, inputs] in stored order or [batch, outputs]
};

// Consecutive slabs [begin, end) of one group, at most kLongestRun.
struct Run {
  std::int64_t begin, end, group;
};
inline constexpr std::int64_t kLongestRun = 16;
// Rows of a chunk, at most: with two vectors of outputs they are enough products under way at once,
// and half of the registers.
inline constexpr std::int64_t kChunkRows = 8;

// The input in pairs of bfloat16, whose products are exact. A token takes as many rows as its
// values need to be exact; tokens are cut into chunks of about the same size. Run after run and
// chunk after chunk there are, slab after slab, the sixteen pairs of each row; and run after run
// the sum of each row.
struct PairArgs {
  ProductArgs product;
  std::int64_t parts;  // rows of a token
  std::int64_t rows;   // batch * parts
  std::int64_t chunks;
  const Run* runs;
  std::int64_t run_count;
  // [runs][chunks][slabs of the run, rows of the chunk, 16], aligned to 64 bytes
  std::uint32_t* pairs;
  float* sums;  // [runs, rows]
};
// Items are tokens for stage, strips for run.
struct PairProduct {
  void (*stage)(const PairArgs&, std::int64_t begin, std::int64_t end);
  void (*run)(const PairArgs&, std::int64_t begin, std::int64_t end);
};

// hessian = keep * hessian + factor * XᵀX, as qh_gptq_kernels has it.
struct HessianArgs {
  const void* inputs;  // X [tokens, columns]
  FloatType type;
  std::int64_t tokens, columns;
  float keep, factor;
  float* hessian;
  void* staged;  // staged_bytes, aligned to 64
};
// Items are panels of columns for stage, tiles for run.
struct HessianProduct {
  std::int64_t panel;  // columns
  std::int64_t (*staged_bytes)(const HessianArgs&);
  std::int64_t (*tiles)(std::int64_t columns);
  void (*stage)(const HessianArgs&, std::int64_t begin, std::int64_t end);
  void (*run)(const HessianArgs&, std::int64_t begin, std::int64_t end);
};

// Items are slabs for dequantize and backward, strips for forward, batch rows for staging. Forward
// and dequantize give the same bits for every instruction set that has no PairProduct.
struct Kernels {
  cpu::Isa isa;
  void (*dequantize)(const Matrix&, FloatType out_type, void* out, std::int64_t begin,
                     std::int64_t end);
  void (*stage_forward)(const ProductArgs&, std::int64_t begin, std::int64_t end);
  void (*forward)(const ProductArgs&, std::int64_t begin, std::int64_t end);
  void (*stage_backward)(const ProductArgs&, std::int64_t begin, std::int64_t end);
  void (*backward)(const ProductArgs&, std::int64_t begin, std::int64_t end);
  const HessianProduct* hessian;
  // Null, or a faster forward for 16-bit inputs and slabs of one group each.
  const PairProduct* pairs = nullptr;
  const HessianProduct* bf16_hessian = nullptr;  // null, or a faster one for bfloat16 inputs
};

const Kernels& scalar_kernels();
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
const Kernels& avx512_bf16_kernels();
const HessianProduct& bf16_hessian();  // AVX512-BF16

// The table for a machine of this level.
const Kernels& kernels_for(cpu::Isa isa);

}  // namespace quanthost::gptq

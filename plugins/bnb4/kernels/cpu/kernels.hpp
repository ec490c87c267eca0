// The CPU kernels of one instruction set as a table, and the choice of the table.
//
// A kernel computes a range of independent items (blocks, weight rows, columns) and allocates
// nothing; cpu/operations.hpp splits whole operations into such ranges. Results do not depend on
// how the items are split.
#ifndef QUANTHOST_PLUGINS_BNB4_KERNELS_CPU_KERNELS_HPP
#define QUANTHOST_PLUGINS_BNB4_KERNELS_CPU_KERNELS_HPP

#include <cstdint>
#include <quanthost/cpu/features.hpp>

#include "plugins/bnb4/format.hpp"

namespace quanthost::bnb4::cpu {

using quanthost::cpu::Isa;

// A weight as the format stores it. absmax[block - first_block] is a block's scale: doubly
// quantized statistics are expanded a few rows at a time.
struct PackedMatrix {
  const uint8_t* packed;
  const float* absmax;
  int64_t first_block;
  QuantType type;
  int64_t blocksize;
  int64_t rows;     // out_features
  int64_t columns;  // in_features
};

// Block scales that were quantized again, in blocks of `blocksize` scales.
struct NestedScales {
  const uint8_t* codes;
  const float* absmax;
  const float* map;  // 256 values
  float offset;
  int64_t blocksize;
};

// Order of a row's elements in a decoded panel. kSplit puts, in each group of 2 * group_width
// elements, the even ones first: that is how nibbles come out of a vector register, and a product
// does not care as long as both sides agree.
enum class Order { kNatural, kSplit };

struct QuantizeArgs {
  const void* source;
  FloatType type;
  QuantType quant_type;
  int64_t blocksize;
  uint8_t* packed;
  float* absmax;
};

struct DequantizeArgs {
  const uint8_t* packed;
  const float* absmax;  // of block `first_block`
  int64_t first_block;
  QuantType quant_type;
  int64_t blocksize;
  FloatType type;
  void* out;
  bool stream;  // write around the caches: the result is larger than they are
};

// One forward product: output = input * weight^T + bias. Sums are float32; a result is rounded to
// `compute` and then converted to `output_type`.
struct LinearArgs {
  PackedMatrix weight;
  const void* input;  // as `stage` of the kernel laid it out
  int64_t batch;      // rows of the input
  Order order;
  const float* bias;  // may be null
  FloatType compute;
  FloatType output_type;
  void* output;  // [batch, weight.rows]
};

struct BackwardArgs {
  PackedMatrix weight;
  const float* grad_output;  // [batch, weight.rows]
  int64_t batch;
  FloatType output_type;
  void* grad_input;  // [batch, weight.columns]
};

struct StageArgs {
  const void* rows;  // [batch, columns]
  FloatType type;
  FloatType compute;  // values are rounded to this type first
  int64_t batch;
  int64_t columns;
  Order order;
  void* out;
};

struct LinearKernel {
  int64_t group;  // Order::kSplit works on groups of this many elements: blocks must be a multiple
                  // of it
  int64_t row_grain;    // ranges of weight rows begin at multiples of this
  int64_t stage_grain;  // ranges of input rows being staged begin at multiples of this
  int64_t min_batch;    // fewer input rows are left to the next kernel
  bool split_only;      // cannot do Order::kNatural
  int64_t (*staged_bytes)(int64_t batch, int64_t columns);
  void (*stage)(const StageArgs& args, int64_t row_begin, int64_t row_end);
  int64_t (*scratch_bytes)(int64_t batch, int64_t columns);  // for each range being computed
  void (*run)(const LinearArgs& args, int64_t row_begin, int64_t row_end, void* scratch);
};

struct KernelTable {
  const char* name;
  // Full blocks [begin, end), CPU rule.
  void (*quantize_blocks)(const QuantizeArgs& args, int64_t begin, int64_t end);
  void (*dequantize_blocks)(const DequantizeArgs& args, int64_t begin, int64_t end);
  // Scales [begin, end) of `nested`, to out[0].
  void (*expand_scales)(const NestedScales& nested, int64_t begin, int64_t end, float* out);
  const LinearKernel* linear_float32;
  const LinearKernel* linear_bfloat16;        // null: bfloat16 computes in float32
  const LinearKernel* linear_bfloat16_tiles;  // for more rows; null: linear_bfloat16 does all
  // Columns [begin, end) of the input gradient, in multiples of kBackwardColumns.
  void (*backward)(const BackwardArgs& args, int64_t begin, int64_t end, void* scratch);
};

inline constexpr int64_t kBackwardColumns = 256;
inline constexpr int64_t kBackwardBatch = 64;  // rows of grad_output handled at once
inline constexpr int64_t kBackwardScratchBytes = (64 + kBackwardBatch) * kBackwardColumns * 4;

const KernelTable& scalar_kernels();
#ifdef QUANTHOST_BNB4_X86
const KernelTable& avx2_kernels();
const KernelTable& avx512_kernels();
const KernelTable& avx512_bf16_kernels();
const KernelTable& amx_kernels();
#endif

// The table for a level; a level that has nothing of its own gets the next lower one's.
const KernelTable& kernels_for(Isa isa);

}  // namespace quanthost::bnb4::cpu

#endif

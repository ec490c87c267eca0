// The loops that most of the solver's time goes to, compiled for several instruction sets. Products
// are rounded before they are added, and sums have one order: every set gives the same bits.
#pragma once

#include <cstdint>
#include <quanthost/cpu/features.hpp>

namespace quanthost::gptq {

// Rows that are swept side by side: what a column has of them lies together.
inline constexpr std::int64_t kSweepRows = 16;
// Columns whose errors are spread over the rest at once. Grids of dynamic groups see the updates of
// earlier blocks only, so this number is part of the result.
inline constexpr std::int64_t kSweepBlock = 128;

struct Sweep {
  std::int64_t columns;
  const float* upper;       // [columns, columns], in sweep order
  const float* correction;  // the same; null: none
  float largest_code;
  const std::int32_t* group_of;  // of each step
  const float* scales;           // [groups, kSweepRows]
  const float* zeros;            // [groups, kSweepRows]
  float* steps;                  // [columns, kSweepRows]
  float* codes;                  // [columns, kSweepRows]
  float* errors;                 // [kSweepBlock, kSweepRows], of the last block
  float* carried;                // the same, with a correction: what its steps have become
  double* losses;                // [kSweepRows]
};

// to[r][j] -= factors[r][p] * other[p][j], one p after the other.
struct Products {
  float* to;
  std::int64_t to_stride, rows, width;
  const float* factors;
  std::int64_t factors_stride, depth;
  const float* other;
  std::int64_t other_stride;
};

struct RowKernels {
  // Quantizes the steps [begin, end), at most kSweepBlock, and leaves their errors.
  void (*sweep_block)(const Sweep&, std::int64_t begin, std::int64_t end);
  // Takes the errors of that block out of the steps after it, and adds its corrections.
  void (*spread_errors)(const Sweep&, std::int64_t begin, std::int64_t end);
  void (*subtract_products)(const Products&);
};

const RowKernels& scalar_row_kernels();
const RowKernels& avx2_row_kernels();
const RowKernels& avx512_row_kernels();

// The table for a machine of this level.
const RowKernels& row_kernels_for(cpu::Isa isa);

// The one for this machine.
inline const RowKernels& row_kernels() { return row_kernels_for(cpu::best_isa()); }

}  // namespace quanthost::gptq

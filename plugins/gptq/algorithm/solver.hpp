// GPTQ: quantize a layer column by column, each time spreading the error over the columns that are
// left.
//
// E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
// Transformers". Results are those of AutoGPTQ (act_group_aware: of gptqmodel), up to the order of
// float sums.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "algorithm/grid.hpp"
#include "algorithm/hessian.hpp"
#include "algorithm/parallel.hpp"

namespace quanthost::gptq {

struct SolverOptions {
  GridOptions grid;
  std::int64_t group_size = 128;  // -1: one group; a last group may be short
  bool desc_act = false;          // columns in the order of falling Hessian diagonal
  bool static_groups = false;     // grids of the original groups, found before the sweep
  bool act_group_aware = false;   // that order inside groups, and of groups; g_idx stays natural
  float damp_percent = 0.01f;     // of the mean Hessian diagonal
  float damp_increment = 0.0f;    // added while the factorization fails; 0 fails at once
  // GPTAQ: the share of the inputs' drift that is corrected; nothing: plain GPTQ. Not with
  // act_group_aware.
  std::optional<float> gptaq_alpha;
};

// A Hessian made ready for the layers that share it.
struct PreparedHessian {
  std::int64_t columns;
  std::vector<std::int64_t> order;  // column swept at each step
  std::vector<std::int64_t> dead;   // columns that no input touched
  std::vector<float> upper;         // U with UᵀU = H⁻¹, in sweep order
  std::vector<float> correction;    // of GPTAQ, in sweep order; empty: none
  float damp_percent;               // what it took
  float diagonal_floor;             // added when no damping was enough, else 0
};

// Throws qh::Error: value for options that do not fit, runtime when the matrix stays singular.
// `drift`, for GPTAQ alone: 2/n · (X₀ - X)ᵀX, where the original model gives the layer X₀ and the
// Hessian is 2/n · XᵀX; empty: X₀ is X.
PreparedHessian prepare(const Hessian& hessian, const SolverOptions& options,
                        const ParallelFor& parallel_for, std::span<const float> drift = {});

struct QuantizedLayer {
  std::int64_t rows, columns, groups;
  std::vector<std::uint8_t> codes;  // [rows, columns]
  std::vector<float> scales;        // [rows, groups]
  std::vector<std::uint8_t> zeros;  // [rows, groups]
  std::vector<std::int32_t> g_idx;  // [columns]
  double loss;                      // the summed weighted squared error
};

// How the groups of a weight lie along the sweep.
struct SweepPlan {
  std::int64_t group_size;  // in columns, also for -1
  std::int64_t groups;
  bool grids_are_fixed;                // found before the sweep
  std::vector<std::int32_t> group_of;  // of each step
  std::vector<std::int32_t> g_idx;     // of each column
};
// Checks the weight: [rows, hessian.columns] of finite values.
SweepPlan plan_sweep(std::span<const float> weight, std::int64_t rows,
                     const PreparedHessian& hessian, const SolverOptions& options);

// `weight` is [rows, hessian.columns]; the same options as in prepare().
QuantizedLayer quantize_layer(std::span<const float> weight, std::int64_t rows,
                              const PreparedHessian& hessian, const SolverOptions& options,
                              const ParallelFor& parallel_for);

}  // namespace quanthost::gptq

// GPTAQ: what the sweep adds so that a layer's outputs go towards those of the original model,
// whose inputs are other than the ones the layer has now.
//
// Y. Li et al., "GPTAQ: Efficient Finetuning-Free Quantization for Asymmetric Calibration"; alpha
// is that of its authors' program and of gptqmodel.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "algorithm/parallel.hpp"

namespace quanthost::gptq {

// alpha · triu(drift · Uᵀ, 1) · U, strictly upper triangular [n, n]. `drift` and `upper` (U) are in
// sweep order. Float arithmetic, the same bits for every number of threads.
std::vector<float> correction_of(std::span<const float> drift, std::span<const float> upper,
                                 std::int64_t n, float alpha, const ParallelFor& parallel_for);

}  // namespace quanthost::gptq

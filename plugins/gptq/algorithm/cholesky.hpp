// The triangular factor that the column sweep needs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "algorithm/parallel.hpp"

namespace quanthost::gptq {

// The upper triangular U with UᵀU = A⁻¹ of a symmetric A [n, n]; nothing when A is not positive
// definite. Float arithmetic, the same bits for every number of threads.
std::optional<std::vector<float>> inverse_upper_factor(std::span<const float> a, std::int64_t n,
                                                       const ParallelFor& parallel_for);

}  // namespace quanthost::gptq

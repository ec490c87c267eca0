// What quantizing without calibration would give: the measure that GPTQ's result is held against.
#pragma once

#include <span>
#include <vector>

#include "algorithm/solver.hpp"

namespace quanthost::gptq {

// Each value on the nearest point of its group's grid; `weight` is [rows, columns].
std::vector<float> round_to_nearest(std::span<const float> weight, std::int64_t rows,
                                    std::int64_t columns, const SolverOptions& options,
                                    const ParallelFor& parallel_for);

}  // namespace quanthost::gptq

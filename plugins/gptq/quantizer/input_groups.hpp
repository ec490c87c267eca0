// Layers of a block that are given the same input: one Hessian serves them all.
#pragma once

#include <string>
#include <vector>

#include "quantizer/calibration_run.hpp"

namespace quanthost::gptq {

using InputGroups = std::vector<std::vector<std::string>>;

// A number that differs with the content of contiguous memory, but for chances of 2^-64.
std::uint64_t content_hash(const qh::Exec&, qh::TensorView tensor);

// Runs the block once; every layer is in one group.
InputGroups find_input_groups(const qh::Exec&, const CalibrationRun&, std::uint64_t block,
                              const std::vector<std::string>& layers);

}  // namespace quanthost::gptq

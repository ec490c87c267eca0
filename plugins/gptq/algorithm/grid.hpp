// The quantization grid of one row's group: its scale and zero, and the code of a value on it.
#pragma once

#include <span>

#include "algorithm/grid_rules.hpp"

namespace quanthost::gptq {

// The grid over the values' range, which always holds 0.
Grid find_grid(std::span<const float> values, const GridOptions& options);

}  // namespace quanthost::gptq

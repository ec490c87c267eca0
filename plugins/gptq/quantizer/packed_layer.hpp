// A quantized layer on host memory, rows in the order of the inputs, words continuous, zeros as
// they are (v2): what calibration makes and the journal keeps.
#pragma once

#include <cstdint>
#include <quanthost/cpu/formats.hpp>
#include <vector>

#include "algorithm/solver.hpp"
#include "format.hpp"

namespace quanthost::gptq {

struct PackedLayer {
  int bits = 0;
  std::int64_t inputs = 0, outputs = 0, groups = 0;
  std::vector<std::uint32_t> qweight;  // [words_for(inputs), outputs]
  std::vector<std::uint32_t> qzeros;   // [groups, words_for(outputs)]
  std::vector<cpu::Float16> scales;    // [groups, outputs]
  std::vector<std::int32_t> g_idx;     // [inputs]
};

PackedLayer pack_layer(const QuantizedLayer& layer, int bits);

// The values that a forward multiplies with, [outputs, inputs].
std::vector<float> dense_values(const PackedLayer& layer);

}  // namespace quanthost::gptq

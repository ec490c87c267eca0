// A solved block as bytes, for the journal.
#pragma once

#include <cstdint>
#include <vector>

#include "quantizer/block_solver.hpp"

namespace quanthost::gptq {

std::vector<std::uint8_t> to_bytes(const std::vector<SolvedLayer>& block);
// Throws qh::Error (value) for bytes that to_bytes() did not write.
std::vector<SolvedLayer> solved_block(const std::vector<std::uint8_t>& bytes);

}  // namespace quanthost::gptq

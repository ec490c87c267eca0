// Words of a layer between a checkpoint's layout and the one that kernels take, on host memory.
#pragma once

#include <span>
#include <vector>

#include "quantizer/stored_format.hpp"

namespace quanthost::gptq {

// False where the kernels read a checkpoint's words as they are.
bool words_differ(int bits, WordLayout layout);

std::vector<std::uint32_t> with_layout(std::span<const std::uint32_t> qweight, std::int64_t inputs,
                                       std::int64_t outputs, int bits, WordLayout from,
                                       WordLayout to);
std::vector<std::uint32_t> with_zeros_as(std::span<const std::uint32_t> qzeros, std::int64_t groups,
                                         std::int64_t outputs, int bits, StoredAs from,
                                         StoredAs to);
// Rows that were sorted, back in the order of the inputs: sorted row i is input order[i].
std::vector<std::uint32_t> unsorted(std::span<const std::uint32_t> qweight,
                                    std::span<const std::int32_t> order, std::int64_t outputs,
                                    int bits);

}  // namespace quanthost::gptq

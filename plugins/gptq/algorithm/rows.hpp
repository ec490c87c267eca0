// Sums over rows of floats, compiled for several instruction sets and chosen at run time. Products
// are rounded before they are added: every set gives the same bits.
#pragma once

#include <cstdint>

namespace quanthost::gptq {

// row[j] += factor * other[j]
void add_scaled(float* row, const float* other, float factor, std::int64_t count);
// row[j] -= factor * other[j]
void subtract_scaled(float* row, const float* other, float factor, std::int64_t count);

}  // namespace quanthost::gptq

// The launch functions of the proof kernels, one per source file.
#pragma once

#include <cstdint>

#include "quanthost/kernel/launch.hpp"

namespace proof {

using quanthost::gpu::Stream;

constexpr int kThreads = 256;  // of a block, except where a kernel has its own number
constexpr int kGroup = 32;     // lanes that exchange values, whatever the warp

void vector_add(Stream stream, const float* left, const float* right, float* sum,
                std::int32_t count);
void block_absmax(Stream stream, const float* values, float* absmax, std::int32_t count,
                  std::int32_t block);
void matmul_bf16(Stream stream, const std::uint16_t* left, const std::uint16_t* right,
                 float* product, std::int32_t m, std::int32_t n, std::int32_t k);
void histogram(Stream stream, const std::uint8_t* values, std::uint32_t* bins, std::int32_t count);
void tile_sums(Stream stream, const float* values, float* sums, std::int32_t tiles);

}  // namespace proof

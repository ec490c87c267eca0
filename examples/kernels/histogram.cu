// Counts byte values: atomics on shared memory first, then one atomic a bin and block on global
// memory.
#include "kernels.hpp"
#include "quanthost/kernel.hpp"

namespace gpu = quanthost::gpu;

namespace proof {
namespace {

constexpr int kBins = 256;
constexpr unsigned kBlocks = 8;

QH_KERNEL void count_bytes(const std::uint8_t* values, std::uint32_t* bins, int count) {
  QH_SHARED(std::uint32_t, block_bins, kBins);
  const int thread = gpu::thread_in_block();
  block_bins[thread] = 0;
  gpu::block_barrier();
  const int stride = kThreads * static_cast<int>(gpu::grid_size().x);
  for (int i = gpu::global_index(); i < count; i += stride)
    gpu::atomic_add(block_bins[values[i]], 1u);
  gpu::block_barrier();
  gpu::atomic_add(bins[thread], block_bins[thread]);
}

}  // namespace

void histogram(Stream stream, const std::uint8_t* values, std::uint32_t* bins, std::int32_t count) {
  static_assert(kThreads == kBins, "each thread owns one bin");
  gpu::fill_bytes(stream, bins, 0, kBins * sizeof(std::uint32_t));
  gpu::launch(stream, {kBlocks, kThreads}, count_bytes, values, bins, count);
}

}  // namespace proof

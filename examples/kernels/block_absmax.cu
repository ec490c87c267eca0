// The largest magnitude of each quantization block: shuffles within groups of 32 lanes, shared
// memory between them.
#include "kernels.hpp"
#include "quanthost/kernel.hpp"

namespace gpu = quanthost::gpu;

namespace proof {
namespace {

// One thread block a quantization block. Groups of 32 lanes, not warps, so that the text is the
// same for any warp size.
QH_KERNEL void absmax_of_blocks(const float* values, float* absmax, int count, int block) {
  QH_SHARED(float, group_results, kThreads / kGroup);
  const int thread = gpu::thread_in_block();
  const int first = static_cast<int>(gpu::block_index().x) * block;
  const int last = first + block < count ? first + block : count;

  float largest = 0;
  for (int i = first + thread; i < last; i += kThreads) {
    const float magnitude = fabsf(values[i]);
    largest = magnitude > largest ? magnitude : largest;
  }
  largest = gpu::group_max<kGroup>(largest);
  if (thread % kGroup == 0) group_results[thread / kGroup] = largest;
  gpu::block_barrier();
  if (thread >= kGroup) return;
  largest = 0;
  if (thread < kThreads / kGroup) largest = group_results[thread];
  largest = gpu::group_max<kGroup>(largest);
  if (thread == 0) absmax[gpu::block_index().x] = largest;
}

}  // namespace

void block_absmax(Stream stream, const float* values, float* absmax, std::int32_t count,
                  std::int32_t block) {
  if (count <= 0) return;
  const unsigned blocks = static_cast<unsigned>((count + block - 1) / block);
  gpu::launch(stream, {blocks, kThreads}, absmax_of_blocks, values, absmax, count, block);
}

}  // namespace proof

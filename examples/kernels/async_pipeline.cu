// A three-stage pipeline: while one tile is summed, async copies bring the next two into shared
// memory.
#include "kernels.hpp"
#include "quanthost/kernel.hpp"

namespace gpu = quanthost::gpu;

namespace proof {
namespace {

constexpr int kTile = kThreads * 4;  // one 16-byte copy a thread
constexpr int kStages = 3;
constexpr unsigned kMaxBlocks = 4;

QH_KERNEL void sum_tiles(const float* values, float* sums, int tiles) {
  const gpu::SharedArray<float> stages = gpu::dynamic_shared<float>(kStages * kTile);
  QH_SHARED(float, group_results, kThreads / kGroup);
  const int thread = gpu::thread_in_block();
  const int stride = static_cast<int>(gpu::grid_size().x);
  const int first = static_cast<int>(gpu::block_index().x);

  // Every stage is committed, empty ones too, so that the number of groups under way is the same in
  // each round.
  const auto fetch = [&](int tile, int stage) {
    if (tile < tiles) {
      gpu::async_copy<16>(stages, stage * kTile + thread * 4,
                          values + static_cast<std::size_t>(tile) * kTile + thread * 4);
    }
    gpu::async_commit();
  };
  for (int s = 0; s < kStages - 1; ++s) fetch(first + s * stride, s);

  int stage = 0;
  for (int tile = first; tile < tiles; tile += stride, stage = (stage + 1) % kStages) {
    gpu::async_wait<kStages - 2>();
    gpu::block_barrier();  // the tile has landed for all, and all are done with the stage that is
                           // fetched next
    fetch(tile + (kStages - 1) * stride, (stage + kStages - 1) % kStages);

    // Strided, so that a thread reads what others have copied.
    float sum = 0;
    for (int i = thread; i < kTile; i += kThreads)
      sum += static_cast<float>(stages[stage * kTile + i]);
    sum = gpu::group_sum<kGroup>(sum);
    if (thread % kGroup == 0) group_results[thread / kGroup] = sum;
    gpu::block_barrier();
    if (thread == 0) {
      float total = 0;
      for (int i = 0; i < kThreads / kGroup; ++i) total += static_cast<float>(group_results[i]);
      sums[tile] = total;
    }
  }
  gpu::async_wait();
}

}  // namespace

void tile_sums(Stream stream, const float* values, float* sums, std::int32_t tiles) {
  if (tiles <= 0) return;
  const unsigned blocks =
      static_cast<unsigned>(tiles) < kMaxBlocks ? static_cast<unsigned>(tiles) : kMaxBlocks;
  gpu::launch(stream, {blocks, kThreads, kStages * kTile * sizeof(float)}, sum_tiles, values, sums,
              tiles);
}

}  // namespace proof

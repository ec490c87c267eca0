// A bfloat16 matrix product through mma: each warp owns 16 x 8 results and walks along k.
#include "kernels.hpp"
#include "quanthost/kernel.hpp"

namespace gpu = quanthost::gpu;

namespace proof {
namespace {

using gpu::bf16_t;
using Layout = gpu::MmaLayout;
using Pair = gpu::Vec<bf16_t, 2>;

constexpr int kMmaThreads = 128;
constexpr int kTileColumns = 64;   // of one thread block, which owns 16 rows
constexpr int kStep = 32;          // along k, staged in shared memory at once
constexpr int kPitch = kStep + 8;  // padded, so that neighbouring rows start in different banks

// Copies rows [first, first + rows) of a row-major [count][k] matrix, columns [k0, k0 + kStep);
// zeros beyond the edge.
QH_DEVICE void stage(const gpu::SharedArray<bf16_t>& tile, const bf16_t* matrix, int first,
                     int rows, int count, int k0, int k) {
  const int pairs = rows * kStep / 2;
  for (int i = gpu::thread_in_block(); i < pairs; i += kMmaThreads) {
    const int row = i / (kStep / 2);
    const int column = i % (kStep / 2) * 2;
    const bool inside = first + row < count && k0 + column < k;
    const std::size_t at = static_cast<std::size_t>(first + row) * k + k0 + column;
    tile.store(row * kPitch + column, inside ? gpu::load<Pair>(matrix + at) : Pair{});
  }
}

QH_KERNEL void multiply(const bf16_t* left, const bf16_t* right, float* product, int m, int n,
                        int k) {
  QH_SHARED(bf16_t, left_tile, Layout::kRows * kPitch);
  QH_SHARED(bf16_t, right_tile, kTileColumns * kPitch);
  const int row0 = static_cast<int>(gpu::block_index().y) * Layout::kRows;
  const int column0 = static_cast<int>(gpu::block_index().x) * kTileColumns;
  constexpr int kTiles = kTileColumns / Layout::kColumns;
  // 2 warps of 64 or 4 of 32: the most tiles a warp can own.
  constexpr int kTilesOfWarp = kTiles / 2;

  gpu::FragmentC sums[kTilesOfWarp];
  QH_UNROLL
  for (int i = 0; i < kTilesOfWarp; ++i) sums[i].clear();

  for (int k0 = 0; k0 < k; k0 += kStep) {
    stage(left_tile, left, row0, Layout::kRows, m, k0, k);
    stage(right_tile, right, column0, kTileColumns, n, k0, k);
    gpu::block_barrier();
    QH_UNROLL
    for (int step = 0; step < kStep; step += Layout::kDepth) {
      gpu::FragmentA<bf16_t> a;
      a.fill_pairs([&](int row, int kk) { return left_tile.load<Pair>(row * kPitch + step + kk); });
      QH_UNROLL
      for (int i = 0; i < kTilesOfWarp; ++i) {
        const int tile = gpu::warp_in_block() + i * gpu::warps_in_block();
        if (tile >= kTiles) continue;
        gpu::FragmentB<bf16_t> b;
        b.fill_pairs([&](int kk, int column) {
          return right_tile.load<Pair>((tile * Layout::kColumns + column) * kPitch + step + kk);
        });
        gpu::mma(sums[i], a, b);
      }
    }
    gpu::block_barrier();
  }
  QH_UNROLL
  for (int i = 0; i < kTilesOfWarp; ++i) {
    const int tile = gpu::warp_in_block() + i * gpu::warps_in_block();
    if (tile >= kTiles) continue;
    sums[i].each([&](int row, int column, float sum) {
      const int r = row0 + row;
      const int c = column0 + tile * Layout::kColumns + column;
      if (r < m && c < n) product[static_cast<std::size_t>(r) * n + c] = sum;
    });
  }
}

}  // namespace

void matmul_bf16(Stream stream, const std::uint16_t* left, const std::uint16_t* right,
                 float* product, std::int32_t m, std::int32_t n, std::int32_t k) {
  if (m <= 0 || n <= 0) return;
  const gpu::Size3 grid(static_cast<unsigned>((n + kTileColumns - 1) / kTileColumns),
                        static_cast<unsigned>((m + Layout::kRows - 1) / Layout::kRows));
  gpu::launch(stream, {grid, kMmaThreads}, multiply, reinterpret_cast<const bf16_t*>(left),
              reinterpret_cast<const bf16_t*>(right), product, m, n, k);
}

}  // namespace proof

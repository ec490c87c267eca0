// What the emulator's collectives cost: a block of 256 threads with 100 barriers and 500 shuffles,
// and checked accesses.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "quanthost/kernel.hpp"
#include "quanthost/kernel/emulated_stream.h"

namespace gpu = quanthost::gpu;

namespace {

constexpr int kThreads = 256;

QH_KERNEL void barriers_and_shuffles(float* out) {
  auto value = static_cast<float>(gpu::thread_in_block());
  for (int i = 0; i < 100; ++i) {
    for (int j = 0; j < 5; ++j) value += gpu::shuffle_xor(value, 1 << j);
    gpu::block_barrier();
  }
  out[gpu::thread_in_block()] = value;
}

QH_KERNEL void shared_accesses(float* out) {
  QH_SHARED(float, tile, kThreads);
  const int thread = gpu::thread_in_block();
  float sum = 0;
  tile[thread] = 1;
  gpu::block_barrier();
  for (int i = 0; i < 1000; ++i) sum += static_cast<float>(tile[(thread + i) % kThreads]);
  out[thread] = sum;
}

template <class Kernel>
double median_milliseconds(Kernel* kernel, std::uint32_t warp_size) {
  qh_emulated_stream stream{sizeof stream, warp_size, 0, 1, 0, nullptr, nullptr};
  std::vector<float> out(kThreads);
  std::vector<double> times;
  for (int i = 0; i < 11; ++i) {
    const auto start = std::chrono::steady_clock::now();
    gpu::launch({&stream}, {1, kThreads}, kernel, out.data());
    times.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
            .count());
  }
  std::nth_element(times.begin(), times.begin() + 5, times.end());
  return times[5];
}

}  // namespace

int main() {
  for (const std::uint32_t warp_size : {32u, 64u}) {
    std::printf(
        "warp %u: block of %d threads, 100 barriers and 500 shuffles: %.1f ms; 1000 shared reads a "
        "thread: %.1f ms\n",
        warp_size, kThreads, median_milliseconds(barriers_and_shuffles, warp_size),
        median_milliseconds(shared_accesses, warp_size));
  }
}

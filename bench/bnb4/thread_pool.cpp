// parallel_for and memory for the benchmarks. The threads are OpenMP's, and so LibTorch's, as the
// host's are: a pool beside them would compete with threads that spin after bitsandbytes' turn.
#include <quanthost/abi/tensor.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

// ctx: the number of threads. Ranges are as at::parallel_for makes them.
extern "C" __attribute__((visibility("default"))) qh_status bench_parallel_for(
    void* ctx, int64_t count, int64_t grain, qh_range_fn body, void* arg) {
  const int64_t threads = reinterpret_cast<int64_t>(ctx);
  if (threads == 1 || count <= grain) return body(arg, 0, count);
  const int64_t size = (count + threads - 1) / threads;
  std::atomic<qh_status> status{QH_OK};
#pragma omp parallel for num_threads(static_cast <int>(threads)) schedule(static, 1)
  for (int64_t i = 0; i < threads; ++i) {
    const int64_t begin = i * size, end = begin + size < count ? begin + size : count;
    const qh_status part = begin < end ? body(arg, begin, end) : qh_status{QH_OK};
    if (part != QH_OK) status = part;
  }
  return status;
}

extern "C" __attribute__((visibility("default"))) qh_status bench_allocate(void*, uint64_t bytes,
                                                                           void** out) {
  *out = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  return *out ? QH_OK : QH_ERR_MEMORY;
}

extern "C" __attribute__((visibility("default"))) void bench_release(void*, void* memory) {
  std::free(memory);
}

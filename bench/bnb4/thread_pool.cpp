// parallel_for and memory for the benchmarks: threads that wait by spinning, as the host's do
// between two layers of a model.
#include <quanthost/abi/tensor.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

struct Loop {
  qh_range_fn body;
  void* arg;
  int64_t count;
  int64_t size;
};

class SpinningPool {
 public:
  explicit SpinningPool(int64_t threads) : threads_(threads), finished_(0) {
    for (int64_t i = 1; i < threads; ++i) std::thread([this, i] { work(i); }).detach();
  }
  qh_status run(int64_t count, int64_t grain, qh_range_fn body, void* arg) {
    if (threads_ == 1 || count <= grain) return body(arg, 0, count);
    loop_ = {body, arg, count, (count + threads_ - 1) / threads_};
    finished_.store(0, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    const qh_status status = part(0);
    while (finished_.load(std::memory_order_acquire) != threads_ - 1) pause();
    return status;
  }

 private:
  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  qh_status part(int64_t index) {
    const int64_t begin = index * loop_.size;
    const int64_t end = begin + loop_.size < loop_.count ? begin + loop_.size : loop_.count;
    return begin < end ? loop_.body(loop_.arg, begin, end) : qh_status{QH_OK};
  }
  void work(int64_t index) {
    for (int64_t seen = 0;;) {
      // Long waits give the processor away: bitsandbytes' turn must not be disturbed.
      for (int64_t spins = 0; generation_.load(std::memory_order_acquire) == seen; ++spins) {
        if (spins < 20000) {
          pause();
        } else {
          std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
      }
      ++seen;
      part(index);
      finished_.fetch_add(1, std::memory_order_release);
    }
  }

  int64_t threads_;
  Loop loop_{};
  std::atomic<int64_t> generation_{0};
  std::atomic<int64_t> finished_;
};

}  // namespace

// ctx: the number of threads, the same in every call of a process.
extern "C" __attribute__((visibility("default"))) qh_status bench_parallel_for(
    void* ctx, int64_t count, int64_t grain, qh_range_fn body, void* arg) {
  static auto* pool = new SpinningPool(reinterpret_cast<int64_t>(ctx));
  return pool->run(count, grain, body, arg);
}

extern "C" __attribute__((visibility("default"))) qh_status bench_allocate(void*, uint64_t bytes,
                                                                           void** out) {
  *out = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  return *out ? QH_OK : QH_ERR_MEMORY;
}

extern "C" __attribute__((visibility("default"))) void bench_release(void*, void* memory) {
  std::free(memory);
}

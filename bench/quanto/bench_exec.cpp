// A qh_exec on a pool of threads that wait actively, as LibTorch's do, for benchmarks that are
// driven from Python.
#include <quanthost/abi/tensor.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

struct Loop {
  qh_range_fn body;
  void* arg;
  std::int64_t count, chunk;
};

class Pool {
 public:
  explicit Pool(unsigned threads) : threads_(threads) {
    for (unsigned i = 1; i < threads; ++i) std::thread([this, i] { work(i); }).detach();
  }
  qh_status run(const Loop& loop) {
    loop_ = loop;
    next_.store(0);
    done_.store(0);
    status_.store(QH_OK);
    generation_.fetch_add(1);
    generation_.notify_all();
    share();
    while (done_.load() + 1 < threads_) __builtin_ia32_pause();
    return status_.load();
  }
  unsigned threads() const { return threads_; }

 private:
  void share() {
    for (;;) {
      const std::int64_t begin = next_.fetch_add(loop_.chunk);
      if (begin >= loop_.count) return;
      const std::int64_t end =
          begin + loop_.chunk < loop_.count ? begin + loop_.chunk : loop_.count;
      const qh_status status = loop_.body(loop_.arg, begin, end);
      if (status != QH_OK) status_.store(status);
    }
  }
  void work(unsigned) {
    for (unsigned seen = 0;;) {
      for (int spins = 0; generation_.load() == seen; ++spins) {
        __builtin_ia32_pause();
        // A pool that spins while the other side is measured would take a core from it.
        if (spins > 20000) generation_.wait(seen);
      }
      ++seen;
      share();
      done_.fetch_add(1);
    }
  }

  unsigned threads_;
  Loop loop_{};
  std::atomic<unsigned> generation_{0}, done_{0};
  std::atomic<std::int64_t> next_{0};
  std::atomic<qh_status> status_{QH_OK};
};

// Blocks are kept by size, as an allocator with a cache does: a benchmark is not about page faults.
struct Cache {
  std::mutex lock;
  std::unordered_map<void*, std::uint64_t> sizes;
  std::unordered_multimap<std::uint64_t, void*> free;
};
Cache& cache() {
  static Cache instance;
  return instance;
}

qh_status allocate(void*, std::uint64_t bytes, void** out) {
  const std::uint64_t size = (bytes + 4095) / 4096 * 4096;
  const std::lock_guard guard(cache().lock);
  const auto found = cache().free.find(size);
  if (found != cache().free.end()) {
    *out = found->second;
    cache().free.erase(found);
    return QH_OK;
  }
  *out = std::aligned_alloc(4096, size);
  if (!*out) return QH_ERR_MEMORY;
  cache().sizes[*out] = size;
  return QH_OK;
}

void release(void*, void* memory) {
  const std::lock_guard guard(cache().lock);
  cache().free.emplace(cache().sizes[memory], memory);
}

}  // namespace

// Lives as long as the process.
extern "C" const qh_exec* bench_exec(std::uint32_t threads) {
  static Pool pool(threads);
  static const qh_exec exec = {sizeof(qh_exec),
                               threads,
                               {"cpu", 3},
                               {QH_DEVICE_CPU, 0},
                               nullptr,
                               &pool,
                               allocate,
                               release,
                               [](void* ctx, std::int64_t count, std::int64_t grain,
                                  qh_range_fn body, void* arg) -> qh_status {
                                 auto* p = static_cast<Pool*>(ctx);
                                 if (count <= 0) return QH_OK;
                                 const std::int64_t share =
                                     (count + 4 * p->threads() - 1) / (4 * p->threads());
                                 const std::int64_t chunk = share > grain ? share : grain;
                                 if (chunk >= count) return body(arg, 0, count);
                                 return p->run({body, arg, count, chunk});
                               },
                               nullptr,
                               nullptr};
  return &exec;
}

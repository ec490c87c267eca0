// A qh_exec for tests: cuts loops into as many ranges as asked, each on a thread of its own.
#ifndef QUANTHOST_TESTS_BNB4_TEST_EXEC_HPP
#define QUANTHOST_TESTS_BNB4_TEST_EXEC_HPP

#include <quanthost/abi/tensor.h>

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

namespace quanthost::test {

class TestExec {
 public:
  explicit TestExec(int threads = 1) : threads_(threads) {
    exec_.struct_size = sizeof(exec_);
    exec_.thread_count = static_cast<uint32_t>(threads);
    exec_.device_name = {"cpu", 3};
    exec_.device = {QH_DEVICE_CPU, 0};
    exec_.ctx = this;
    exec_.parallel_for = parallel_for;
  }
  TestExec(const TestExec&) = delete;
  TestExec& operator=(const TestExec&) = delete;

  const qh_exec& abi() const { return exec_; }

 private:
  static qh_status parallel_for(void* ctx, int64_t count, int64_t grain, qh_range_fn body,
                                void* arg) {
    const int64_t threads = static_cast<TestExec*>(ctx)->threads_;
    const int64_t size = std::max((count + threads - 1) / threads, grain);
    std::vector<qh_status> results(static_cast<size_t>(threads), QH_OK);
    std::vector<std::thread> workers;
    for (int64_t begin = 0, i = 0; begin < count; begin += size, ++i) {
      workers.emplace_back([&results, body, arg, begin, i, end = std::min(begin + size, count)] {
        results[static_cast<size_t>(i)] = body(arg, begin, end);
      });
    }
    for (std::thread& worker : workers) worker.join();
    for (const qh_status status : results) {
      if (status != QH_OK) return status;
    }
    return QH_OK;
  }

  int threads_;
  qh_exec exec_{};
};

}  // namespace quanthost::test

#endif

// How loops of plugins are cut into ranges for the host's threads.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "host/load/exec.hpp"

namespace quanthost {
namespace {

class WithThreads {
 public:
  explicit WithThreads(int count) { at::set_num_threads(count); }
  ~WithThreads() { at::set_num_threads(before_); }

 private:
  const int before_ = at::get_num_threads();
};

struct Ranges {
  std::mutex mutex;
  std::vector<std::pair<std::int64_t, std::int64_t>> found;
};

TEST(ParallelRanges, CoverTheCountInPiecesOfAboutTheGrainOrMore) {
  for (int threads : {1, 2, 3, 8}) {
    const WithThreads scope(threads);
    for (std::int64_t count : {1, 2, 9, 11, 100})
      for (std::int64_t grain : {0, 1, 4, 5, 60, 1000}) {
        SCOPED_TRACE(std::to_string(count) + " by " + std::to_string(grain) + ", " +
                     std::to_string(threads) + " threads");
        Ranges ranges;
        ASSERT_EQ(parallel_ranges(
                      count, grain,
                      [](void* to, std::int64_t begin, std::int64_t end) -> qh_status {
                        auto& into = *static_cast<Ranges*>(to);
                        std::lock_guard lock(into.mutex);
                        into.found.emplace_back(begin, end);
                        return QH_OK;
                      },
                      &ranges),
                  QH_OK);
        std::sort(ranges.found.begin(), ranges.found.end());
        std::int64_t next = 0;
        for (const auto& [begin, end] : ranges.found) {
          EXPECT_EQ(begin, next);
          if (end != count) {
            EXPECT_GE(2 * (end - begin), grain);
          }
          next = end;
        }
        EXPECT_EQ(next, count);
        EXPECT_LE(ranges.found.size(), static_cast<std::size_t>(threads));
      }
  }
}

TEST(ParallelRanges, OfNothingAreNone) {
  const auto never = [](void*, std::int64_t, std::int64_t) -> qh_status {
    ADD_FAILURE();
    return QH_OK;
  };
  EXPECT_EQ(parallel_ranges(0, 1, never, nullptr), QH_OK);
}

}  // namespace
}  // namespace quanthost

// The threads that host kernels and plugins share: LibTorch's pool, and no second one.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>

namespace quanthost::model {
namespace {

TEST(Threads, ALoopOfTheHostRunsOnMoreThanOneOfThem) {
  const int before = at::get_num_threads();
  at::set_num_threads(2);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  at::parallel_for(0, 2, 1, [&](std::int64_t, std::int64_t) {
    std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  at::set_num_threads(before);
  EXPECT_EQ(threads.size(), 2u) << "at::parallel_for was compiled without -fopenmp";
}

TEST(Threads, OneOpenMpRuntimeIsInTheProcess) {
  std::ifstream maps("/proc/self/maps");
  if (!maps) GTEST_SKIP() << "no /proc/self/maps on this system";
  std::set<std::string> runtimes;
  for (std::string line; std::getline(maps, line);) {
    const std::size_t path = line.find('/');
    if (path == std::string::npos) continue;
    const std::string file = std::filesystem::path(line.substr(path)).filename();
    if (file.starts_with("libgomp") || file.starts_with("libomp") || file.starts_with("libiomp"))
      runtimes.insert(line.substr(path));
  }
  EXPECT_EQ(runtimes.size(), 1u) << testing::PrintToString(runtimes);
}

}  // namespace
}  // namespace quanthost::model

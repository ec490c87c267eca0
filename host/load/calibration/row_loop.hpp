// A parallel loop whose results do not depend on the number of threads: each row is computed by one
// thread alone, in LibTorch's pool.
#pragma once

#include <cstddef>
#include <functional>

namespace quanthost {

// While it lives this thread computes alone. LibTorch's kernels choose their blocking by the number
// of threads they may use, even where they then run on one: what must not depend on it has to see
// one. Outside of a parallel region (a single row, a single thread) LibTorch's own setting changes,
// too.
class OneThread {
 public:
  OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;
  ~OneThread();

 private:
  const int before_;
  const bool whole_;
};

// How many rows are worked on at once.
std::size_t row_threads();

// body(row) for each of [begin, end), without autograd; the first failure comes out here.
void for_each_row(std::size_t begin, std::size_t end,
                  const std::function<void(std::size_t row)>& body);

}  // namespace quanthost

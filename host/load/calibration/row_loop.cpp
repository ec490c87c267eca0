#include "host/load/calibration/row_loop.hpp"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <omp.h>

namespace quanthost {
namespace {

// LibTorch's kernels choose their blocking by the number of threads they may use, even where they
// then run on one: what is computed here must see one. Outside of a parallel region (a single row,
// a single thread) LibTorch's own setting has to change, too.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()), whole_(!omp_in_parallel()) {
    if (whole_) {
      at::set_num_threads(1);
    } else {
      omp_set_num_threads(1);
    }
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;
  ~OneThread() {
    if (whole_) {
      at::set_num_threads(before_);
    } else {
      omp_set_num_threads(before_);
    }
  }

 private:
  const int before_;
  const bool whole_;
};

}  // namespace

std::size_t row_threads() { return static_cast<std::size_t>(std::max(at::get_num_threads(), 1)); }

void for_each_row(std::size_t begin, std::size_t end,
                  const std::function<void(std::size_t row)>& body) {
  at::parallel_for(static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end), 1,
                   [&](std::int64_t first, std::int64_t last) {
                     const OneThread one;
                     const c10::InferenceMode inference;
                     for (std::int64_t row = first; row < last; ++row)
                       body(static_cast<std::size_t>(row));
                   });
}

}  // namespace quanthost

#include "host/load/calibration/row_loop.hpp"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <omp.h>

namespace quanthost {

OneThread::OneThread() : before_(omp_get_max_threads()), whole_(!omp_in_parallel()) {
  if (whole_) {
    at::set_num_threads(1);
  } else {
    omp_set_num_threads(1);
  }
}

OneThread::~OneThread() {
  if (whole_) {
    at::set_num_threads(before_);
  } else {
    omp_set_num_threads(before_);
  }
}

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

// qh.threads/1: the host's threads are LibTorch's own, so that nobody oversubscribes the cores.
#include <ATen/Parallel.h>

#include "host/load/exec.hpp"
#include "host/load/services/services.hpp"

namespace quanthost::services {

const qh_threads_api& threads() {
  static const qh_threads_api table{
      sizeof(qh_threads_api), 0,
      [](qh_host*) { return static_cast<std::uint32_t>(at::get_num_threads()); },
      [](qh_host*, std::int64_t count, std::int64_t grain, qh_range_fn body, void* arg) {
        return parallel_ranges(count, grain, body, arg);
      }};
  return table;
}

}  // namespace quanthost::services

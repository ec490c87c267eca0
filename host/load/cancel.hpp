// Stopping work from another thread.
#pragma once

#include <atomic>

#include "host/base/error.hpp"

namespace quanthost {

class CancelToken {
 public:
  void cancel() noexcept {
    cancelled_.store(true, std::memory_order_relaxed);
  }  // any thread, also a signal handler
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }
  void check() const {
    if (cancelled()) throw Error(ErrorKind::kCancelled, "cancelled");
  }

 private:
  std::atomic<bool> cancelled_{false};
};

}  // namespace quanthost

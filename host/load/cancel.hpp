// Stopping work from another thread.
#pragma once

#include <atomic>

#include "host/base/error.hpp"

namespace quanthost {

// Also cancelled while its parent is: work can be stopped by who asked for it, and what it leaves
// behind (a model whose layers keep asking) no longer once it is detached.
class CancelToken {
 public:
  explicit CancelToken(const CancelToken* parent = nullptr) : parent_(parent) {}
  void detach() noexcept { parent_.store(nullptr, std::memory_order_relaxed); }
  void reset() noexcept { cancelled_.store(false, std::memory_order_relaxed); }
  void cancel() noexcept {
    cancelled_.store(true, std::memory_order_relaxed);
  }  // any thread, also a signal handler
  bool cancelled() const noexcept {
    if (cancelled_.load(std::memory_order_relaxed)) return true;
    const CancelToken* parent = parent_.load(std::memory_order_relaxed);
    return parent && parent->cancelled();
  }
  void check() const {
    if (cancelled()) throw Error(ErrorKind::kCancelled, "cancelled");
  }

 private:
  std::atomic<bool> cancelled_{false};
  std::atomic<const CancelToken*> parent_;
};

}  // namespace quanthost

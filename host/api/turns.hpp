// Calls of one object wait for each other; a call out of one of its own callbacks is refused, since
// it would wait for itself.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "host/base/error.hpp"

namespace quanthost::api {

class Turns {
 public:
  class Turn {
   public:
    Turn(Turns& turns, const char* what) : turns_(turns) {
      if (turns_.at_work_ == std::this_thread::get_id()) {
        throw Error(ErrorKind::kRuntime,
                    fmt::format("a callback called the {} that is calling it back", what),
                    "return from the callback first");
      }
      turns_.mutex_.lock();
      turns_.at_work_ = std::this_thread::get_id();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
      turns_.at_work_ = std::thread::id();
      turns_.mutex_.unlock();
    }

   private:
    Turns& turns_;
  };

 private:
  std::mutex mutex_;
  std::atomic<std::thread::id> at_work_{};
};

}  // namespace quanthost::api

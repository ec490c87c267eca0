// How far a load, quantization or save is: stages, bytes and tensors, with a rate and the time that
// is left.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "host/load/cancel.hpp"

namespace quanthost {

struct ProgressReport {
  std::string stage;    // "read", "quantize", "save", or what a plugin names its own
  std::string unit;     // "bytes", "layers", "samples", …
  std::string current;  // the tensor, layer or file at hand
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  double seconds = 0;           // since the stage began
  double units_per_second = 0;  // 0: not known yet
  double seconds_left = -1;     // below 0: not known yet
  bool stage_ended = false;
};

// Any thread may update; reports come at most every 50 ms, and at each stage's begin and end.
class Progress {
 public:
  using Listener = std::function<void(const ProgressReport&)>;

  explicit Progress(Listener listener = {}, const CancelToken* cancel = nullptr)
      : listener_(std::move(listener)), cancel_(cancel) {}

  void begin(std::string_view stage, std::string_view unit,
             std::uint64_t total);  // ends the stage before it
  void update(std::uint64_t done,
              std::string_view current);  // throws kCancelled when asked to stop
  void end();

 private:
  using Clock = std::chrono::steady_clock;
  void report(bool stage_ended);  // with the mutex held

  std::mutex mutex_;
  const Listener listener_;
  const CancelToken* const cancel_;
  ProgressReport now_;
  bool active_ = false;
  Clock::time_point began_;
  Clock::time_point reported_;
};

}  // namespace quanthost

// What happened when: slot calls, stages and tensors, in Chrome's trace format (chrome://tracing,
// Perfetto).
#pragma once

#include <chrono>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/json.hpp"

namespace quanthost {

// Any thread may record.
class Trace {
 public:
  using Clock = std::chrono::steady_clock;

  // From its making to its end. Without a trace it costs nothing.
  class Span {
   public:
    Span(Trace* trace, std::string_view category, std::string_view name, Json args = {});
    Span(const Span&) = delete;
    Span& operator=(const Span&) = delete;
    ~Span();

   private:
    Trace* trace_;
    std::string category_, name_;
    Json args_;
    Clock::time_point began_;
  };

  struct Event {
    std::string category;  // "slot", "stage", "tensor"
    std::string name;
    Json args;
    std::int64_t begin_us;
    std::int64_t duration_us;
    std::uint32_t thread;
  };

  std::vector<Event> events() const;
  void write(const std::filesystem::path& file) const;

 private:
  void add(Event event);

  const Clock::time_point origin_ = Clock::now();
  mutable std::mutex mutex_;
  std::vector<Event> events_;
};

}  // namespace quanthost

#include "host/load/trace.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>

#include "host/base/file.hpp"

namespace quanthost {
namespace {

// Small numbers for threads, in the order in which they first record.
std::uint32_t thread_number() {
  static std::atomic<std::uint32_t> next{1};
  thread_local const std::uint32_t number = next++;
  return number;
}

constexpr const char* kMemory = "memory";

// Of the whole process, now.
std::uint64_t resident_bytes() {
  std::uint64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::int64_t microseconds(Trace::Clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

}  // namespace

Trace::Span::Span(Trace* trace, std::string_view category, std::string_view name, Json args)
    : trace_(trace) {
  if (!trace_) return;
  category_ = category;
  name_ = name;
  args_ = std::move(args);
  began_ = Clock::now();
}

Trace::Span::~Span() {
  if (!trace_) return;
  try {
    trace_->add({std::move(category_), std::move(name_), std::move(args_),
                 microseconds(began_ - trace_->origin_), microseconds(Clock::now() - began_),
                 thread_number()});
  } catch (...) {  // a trace that lacks an event is better than a load that fails
  }
}

// Memory is looked at when a span ends, at most every two milliseconds.
void Trace::add(Event event) {
  constexpr std::int64_t kPauseUs = 2000;
  const std::int64_t now = event.begin_us + event.duration_us;
  std::lock_guard lock(mutex_);
  const auto last = std::find_if(events_.rbegin(), events_.rend(),
                                 [](const Event& e) { return e.category == kMemory; });
  const bool due = last == events_.rend() || now - last->begin_us >= kPauseUs;
  events_.push_back(std::move(event));
  if (due) events_.push_back({kMemory, "memory", Json{{"rss_bytes", resident_bytes()}}, now, 0, 0});
}

std::vector<Trace::Event> Trace::events() const {
  std::lock_guard lock(mutex_);
  return events_;
}

void Trace::write(const std::filesystem::path& file) const {
  Json events = Json::array();
  for (const Event& event : this->events()) {
    if (event.category == kMemory) {  // a counter: viewers draw it as a curve
      events.push_back({{"ph", "C"},
                        {"pid", 1},
                        {"name", event.name},
                        {"ts", event.begin_us},
                        {"args", event.args}});
      continue;
    }
    Json entry{{"ph", "X"},
               {"pid", 1},
               {"tid", event.thread},
               {"cat", event.category},
               {"name", event.name},
               {"ts", event.begin_us},
               {"dur", event.duration_us}};
    if (!event.args.is_null()) entry["args"] = event.args;
    events.push_back(std::move(entry));
  }
  write_text_file(file, Json{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}}.dump());
}

}  // namespace quanthost

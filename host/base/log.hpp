// The host's log. spdlog stays behind this door; an application can put a sink of its own in its
// place.
#pragma once

#include <fmt/core.h>

#include <functional>
#include <string_view>

namespace quanthost::log {

enum class Level : int {
  kTrace = 0,
  kDebug = 1,
  kInfo = 2,
  kWarn = 3,
  kError = 4,
  kOff = 6
};  // spdlog's numbers

using Sink = std::function<void(Level, std::string_view source, std::string_view message)>;

// Any thread. An empty sink brings back the default: lines on stderr, coloured when it is a
// terminal.
void set_sink(Sink sink);
void set_level(Level level);  // the default is kWarn; QUANTHOST_LOG=trace|debug|info|warn|error|off
                              // overrides it
Level level();

// Where one host of an application logs. Entered by a thread for as long as it works for that host;
// outside of any, set_sink and set_level count.
struct Destination {
  Level level = Level::kWarn;
  Sink sink;  // empty: lines on stderr
};
class Scope {
 public:
  explicit Scope(const Destination* destination);  // borrowed; null: none
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope();

 private:
  const Destination* const before_;
};
// Of this thread, to be entered by the threads that work for it. Null outside of any.
const Destination* destination();

// Any thread. `source` is a plugin id or a part of the host, e.g. "load".
void write(Level level, std::string_view source, std::string_view message);

template <typename... Args>
void debug(std::string_view source, fmt::format_string<Args...> format, Args&&... args) {
  if (level() <= Level::kDebug)
    write(Level::kDebug, source, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(std::string_view source, fmt::format_string<Args...> format, Args&&... args) {
  if (level() <= Level::kInfo)
    write(Level::kInfo, source, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(std::string_view source, fmt::format_string<Args...> format, Args&&... args) {
  if (level() <= Level::kWarn)
    write(Level::kWarn, source, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace quanthost::log

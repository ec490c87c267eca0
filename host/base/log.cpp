#include "host/base/log.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>

namespace quanthost::log {
namespace {

int level_from_environment() {
  const char* text = std::getenv("QUANTHOST_LOG");
  return text ? static_cast<int>(spdlog::level::from_str(text)) : static_cast<int>(Level::kWarn);
}

struct State {
  std::atomic<int> level{level_from_environment()};
  std::mutex mutex;
  std::shared_ptr<Sink> sink;  // null: the default logger
  std::shared_ptr<spdlog::logger> logger;

  State() {
    auto stderr_sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>(
        std::getenv("NO_COLOR") ? spdlog::color_mode::never : spdlog::color_mode::automatic);
    logger = std::make_shared<spdlog::logger>("quanthost", stderr_sink);
    logger->set_level(spdlog::level::trace);
    logger->set_pattern("%^%l%$: %v");
  }
};

State& state() {
  static State* instance = new State;  // never destroyed: plugins may log while the process ends
  return *instance;
}

thread_local const Destination* t_destination = nullptr;

}  // namespace

Scope::Scope(const Destination* destination) : before_(t_destination) {
  t_destination = destination;
}

Scope::~Scope() { t_destination = before_; }

const Destination* destination() { return t_destination; }

void set_sink(Sink sink) {
  std::lock_guard lock(state().mutex);
  state().sink = sink ? std::make_shared<Sink>(std::move(sink)) : nullptr;
}

void set_level(Level level) { state().level = static_cast<int>(level); }

Level level() {
  if (t_destination) return t_destination->level;
  return static_cast<Level>(state().level.load(std::memory_order_relaxed));
}

void write(Level level, std::string_view source, std::string_view message) {
  if (level < log::level()) return;
  if (t_destination && t_destination->sink) {
    t_destination->sink(level, source, message);
    return;
  }
  std::shared_ptr<Sink> sink;
  if (!t_destination) {
    std::lock_guard lock(state().mutex);
    sink = state().sink;
  }
  if (sink) {
    (*sink)(level, source, message);
  } else {
    state().logger->log(static_cast<spdlog::level::level_enum>(level), "{}: {}", source, message);
  }
}

}  // namespace quanthost::log

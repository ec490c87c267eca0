#include "host/cli/model_verbs/model_verb.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>

#include "host/checkpoint/model_config.hpp"
#include "host/cli/model_verb_list.hpp"
#include "host/load/faults.hpp"

namespace quanthost::cli {
namespace {

CancelToken g_interrupt;

void on_interrupt(int) {
  if (g_interrupt.cancelled()) ::_exit(static_cast<int>(ExitCode::kInterrupted));
  g_interrupt.cancel();
}

std::string bytes_text(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  for (; bytes >= 1024 && unit < 4; ++unit) bytes /= 1024;
  return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 1, units[unit]);
}

// "12.5 MiB" of bytes, "43 layers" of anything else.
std::string amount_text(double amount, const std::string& unit) {
  if (unit == "bytes") return bytes_text(amount);
  return fmt::format("{:.{}f} {}", amount, amount < 10 && amount != std::floor(amount) ? 2 : 0,
                     unit);
}

std::string time_text(double seconds) {
  const auto whole = static_cast<long>(std::lround(seconds));
  return whole < 60 ? fmt::format("{} s", whole) : fmt::format("{}:{:02}", whole / 60, whole % 60);
}

using Clock = std::chrono::steady_clock;

// Draws on one line of a terminal, or prints a line now and then.
class Display {
 public:
  Display(std::string what, std::string unit)
      : what_(std::move(what)),
        unit_(std::move(unit)),
        is_terminal_(::isatty(STDERR_FILENO) != 0 && terminal_allows_styling()) {}
  Display(const Display&) = delete;
  Display& operator=(const Display&) = delete;
  ~Display() {
    if (line_is_open_) std::fputc('\n', stderr);  // what failed is told on a line of its own
  }

  void show(std::uint64_t done, std::uint64_t total) {
    const Clock::time_point now = Clock::now();
    const bool finished = done >= total;
    const double pause = is_terminal_ ? 0.1 : 10;
    if (!finished && std::chrono::duration<double>(now - last_).count() < pause) return;
    last_ = now;
    const double seconds = std::max(1e-3, std::chrono::duration<double>(now - start_).count());
    const double rate = static_cast<double>(done) / seconds;
    const double fraction = total ? static_cast<double>(done) / static_cast<double>(total) : 1;
    if (is_terminal_) {
      const auto filled = static_cast<std::size_t>(fraction * kWidth);
      const std::string eta =
          finished ? time_text(seconds)
                   : "ETA " + time_text(static_cast<double>(total - done) / std::max(rate, 1e-9));
      fmt::print(stderr, "\r{} [{}{}] {:3.0f} %  {}/s  {}\033[K{}", what_, std::string(filled, '#'),
                 std::string(kWidth - filled, '.'), 100 * fraction, amount_text(rate, unit_), eta,
                 finished ? "\n" : "");
      line_is_open_ = !finished;
    } else if (!finished) {
      fmt::print(stderr, "{}: {} of {}, {}/s\n", what_,
                 amount_text(static_cast<double>(done), unit_),
                 amount_text(static_cast<double>(total), unit_), amount_text(rate, unit_));
    }
    std::fflush(stderr);
  }

 private:
  static constexpr std::size_t kWidth = 30;
  std::string what_, unit_;
  bool is_terminal_, line_is_open_ = false;
  Clock::time_point start_ = Clock::now(), last_ = start_;
};

}  // namespace

Verb model_verb(Verb root, const std::string& name, const std::string& examples) {
  const ModelVerb* verb = find_model_verb(name);
  if (!verb) fail(ErrorKind::kInternal, "'{}' is missing in model_verb_list()", name);
  return root.verb(name, verb->summary, examples);
}

void watch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
  ::signal(SIGXFSZ,
           SIG_IGN);  // a limit on files is an error of write(), not the end of the process
}

bool interrupted() { return g_interrupt.cancelled(); }

const CancelToken& interrupt_token() { return g_interrupt; }

void throw_interrupted() {
  throw CommandError(ExitCode::kInterrupted, ErrorKind::kCancelled, "interrupted");
}

ByteProgress progress_on_stderr(const Session& session, std::string what, std::string unit) {
  if (session.json() || session.quiet())
    return [](std::uint64_t, std::uint64_t) { return !interrupted(); };
  return [display = std::make_shared<Display>(std::move(what), std::move(unit))](
             std::uint64_t done, std::uint64_t total) {
    display->show(done, total);
    return !interrupted();
  };
}

std::uint64_t peak_rss_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

std::filesystem::path model_folder(const std::string& path) {
  try {
    need_model_folder(path);
  } catch (const Error& e) {
    throw CheckpointError(e);
  }
  return path;
}

}  // namespace quanthost::cli

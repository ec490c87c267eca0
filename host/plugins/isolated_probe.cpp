#include "host/plugins/isolated_probe.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "host/base/json.hpp"

extern char** environ;

namespace quanthost {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kAtOnce = 32;
constexpr std::size_t kMaxReport = 64 * 1024;
constexpr std::size_t kTail = 2048;
constexpr std::size_t kQuiet = 4096;  // more output than this is worth a warning
// The helper ends itself when its time is up; this is for when even that fails.
constexpr std::chrono::milliseconds kGrace{2000};
constexpr int kReportFd = 3;

class Pipe {
 public:
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      fail(ErrorKind::kOs, "cannot make a pipe: {}", std::strerror(errno));
    // Out of the way of the child's 0 to 3.
    for (int i = 0; i < 2; ++i) {
      ends_[i] = ::fcntl(ends[i], F_DUPFD_CLOEXEC, 10);
      ::close(ends[i]);
    }
    ::fcntl(ends_[0], F_SETFL, O_NONBLOCK);
  }
  Pipe(Pipe&& other) noexcept : ends_(std::exchange(other.ends_, {-1, -1})) {}
  Pipe& operator=(Pipe&&) = delete;
  ~Pipe() {
    close_reader();
    close_writer();
  }
  int reader() const { return ends_[0]; }
  int writer() const { return ends_[1]; }
  void close_reader() { close_end(0); }
  void close_writer() { close_end(1); }

 private:
  void close_end(std::size_t i) {
    if (ends_[i] >= 0) ::close(std::exchange(ends_[i], -1));
  }
  std::array<int, 2> ends_{-1, -1};
};

// What comes out of one pipe: the first part, the end, and how much there was.
struct Captured {
  Pipe pipe;
  std::string head, tail;
  std::size_t total = 0;

  bool open() const { return pipe.reader() >= 0; }

  void drain() {
    std::array<char, 16 * 1024> buffer;
    while (open()) {
      const ssize_t n = ::read(pipe.reader(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) return pipe.close_reader();
      const std::string_view piece(buffer.data(), static_cast<std::size_t>(n));
      total += piece.size();
      if (head.size() < kMaxReport) head += piece.substr(0, kMaxReport - head.size());
      tail += piece;
      if (tail.size() > 4 * kTail) tail.erase(0, tail.size() - kTail);
    }
  }
};

std::string seconds_text(std::chrono::milliseconds time) {
  return fmt::format("{:g} s", static_cast<double>(time.count()) / 1000);
}

class Probe {
 public:
  Probe(const std::filesystem::path& helper, const std::filesystem::path& file,
        std::chrono::milliseconds limit)
      : limit_(limit), start_(Clock::now()) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out_.pipe.writer(), 1);
    posix_spawn_file_actions_adddup2(&actions, err_.pipe.writer(), 2);
    posix_spawn_file_actions_adddup2(&actions, report_.pipe.writer(), kReportFd);
    posix_spawn_file_actions_addclosefrom_np(&actions, kReportFd + 1);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    std::string program = helper.string(), plugin = file.string(),
                milliseconds = std::to_string(limit.count());
    std::array<char*, 4> arguments{program.data(), milliseconds.data(), plugin.data(), nullptr};
    const int error =
        ::posix_spawn(&pid_, program.c_str(), &actions, &attributes, arguments.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
      fail(ErrorKind::kOs, "{}: cannot be started: {}", helper.string(), std::strerror(error));
    for (Captured* captured : {&out_, &err_, &report_}) captured->pipe.close_writer();
  }
  Probe(const Probe&) = delete;
  ~Probe() {
    if (pid_ > 0) finish();
  }

  void add_descriptors(std::vector<pollfd>& out) const {
    for (const Captured* captured : {&out_, &err_, &report_}) {
      if (captured->open()) out.push_back({captured->pipe.reader(), POLLIN, 0});
    }
  }

  // Takes what has come; true when the process is gone.
  bool advance() {
    for (Captured* captured : {&out_, &err_, &report_}) captured->drain();
    if (!report_.open() || Clock::now() > start_ + limit_ + kGrace) return finish(), true;
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
    pid_ = -1;
    for (Captured* captured : {&out_, &err_, &report_}) captured->drain();
    return true;
  }

  ProbeResult result() const;

 private:
  // The report pipe closes when the helper and everything it started are gone, so this rarely has
  // anything to kill.
  void finish() {
    ::kill(-pid_, report_.open() ? SIGKILL : 0);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    for (Captured* captured : {&out_, &err_, &report_}) captured->drain();
  }

  std::chrono::milliseconds limit_;
  Clock::time_point start_;
  pid_t pid_ = -1;
  Captured out_, err_, report_;
};

std::string doing(const std::string& stage) {
  if (stage == "open") return "while the loader ran its constructors";
  if (stage == "entry") return "in its entry point";
  if (stage == "describe") return "in describe";
  return "before it was opened";
}

// The report is one JSON object a line: stages as they begin, the outcome, and last how the process
// ended.
ProbeResult Probe::result() const {
  ProbeResult out;
  out.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  out.output_tail = err_.tail.substr(err_.tail.size() - std::min(err_.tail.size(), kTail));
  std::string stage;
  Json outcome, end;
  for (std::size_t begin = 0; begin < report_.head.size();) {
    const std::size_t stop = std::min(report_.head.find('\n', begin), report_.head.size());
    const Json line = Json::parse(report_.head.substr(begin, stop - begin), nullptr, false);
    begin = stop + 1;
    if (!line.is_object()) continue;
    stage = line.value("stage", stage);
    if (line.contains("ok")) outcome = line;
    if (line.contains("end")) end = line;
  }
  const std::string how = end.is_object() ? end.value("end", "") : "";
  if (how == "signal") {
    const int signal = end.value("code", 0);
    out.reason =
        fmt::format("crashed with signal {} ({}) {}", signal, ::strsignal(signal), doing(stage));
  } else if (how == "timeout") {
    out.reason = fmt::format("hangs: not done after {} {}", seconds_text(limit_), doing(stage));
  } else if (!outcome.is_object()) {
    out.reason = how == "exit" ? fmt::format("ended the whole process with exit code {} {}",
                                             end.value("code", 0), doing(stage))
                               : fmt::format("the probe ended without a report {}", doing(stage));
  } else {
    out.ok = outcome.value("ok", false);
    out.reason = outcome.value("reason", "");
    out.warnings = outcome.value("warnings", std::vector<std::string>{});
  }
  if (const int left = end.is_object() ? end.value("processes", 0) : 0; left > 0) {
    out.warnings.push_back(fmt::format("left {} process{} running", left, left == 1 ? "" : "es"));
  }
  if (out_.total + err_.total > kQuiet) {
    out.warnings.push_back(
        fmt::format("wrote {} bytes to stdout and {} to stderr", out_.total, err_.total));
  }
  return out;
}

}  // namespace

std::optional<std::filesystem::path> find_probe_helper(const SearchContext& context) {
  const std::filesystem::path& here = context.library_directory;
  for (const std::filesystem::path& directory :
       {here, here / "../bin", here / "../libexec/quanthost",
        std::filesystem::path(QUANTHOST_LIBEXEC_DIR)}) {
    std::error_code error;
    const auto path = std::filesystem::canonical(directory / "quanthost-probe", error);
    if (!error && ::access(path.c_str(), X_OK) == 0) return path;
  }
  return std::nullopt;
}

std::vector<ProbeResult> probe_in_isolation(const std::filesystem::path& helper,
                                            const std::vector<std::filesystem::path>& files,
                                            std::chrono::milliseconds limit) {
  std::vector<ProbeResult> results(files.size());
  std::vector<std::pair<std::size_t, std::unique_ptr<Probe>>> running;
  std::size_t next = 0;
  while (next < files.size() || !running.empty()) {
    while (next < files.size() && running.size() < kAtOnce) {
      running.emplace_back(next, std::make_unique<Probe>(helper, files[next], limit));
      ++next;
    }
    std::vector<pollfd> descriptors;
    for (const auto& [index, probe] : running) probe->add_descriptors(descriptors);
    ::poll(descriptors.data(), descriptors.size(),
           100);  // wakes at least ten times a second to look at the clock
    std::erase_if(running, [&](auto& entry) {
      if (!entry.second->advance()) return false;
      results[entry.first] = entry.second->result();
      return true;
    });
  }
  return results;
}

}  // namespace quanthost

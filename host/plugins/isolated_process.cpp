#include "host/plugins/isolated_process.hpp"

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
#include <memory>
#include <string_view>
#include <utility>

#include "host/base/error.hpp"

extern char** environ;

namespace quanthost {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kReportFd = 3;

class Pipe {
 public:
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      fail(ErrorKind::kOs, "cannot make a pipe: {}", std::strerror(errno));
    // Out of the way of the child's 0 to 3.
    for (int i = 0; i < 2; ++i) {
      ends_[static_cast<std::size_t>(i)] = ::fcntl(ends[i], F_DUPFD_CLOEXEC, 10);
      ::close(ends[i]);
    }
    ::fcntl(ends_[0], F_SETFL, O_NONBLOCK);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
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
      head += piece.substr(
          0, IsolatedResult::kMaxReport - std::min(head.size(), IsolatedResult::kMaxReport));
      tail += piece;
      if (tail.size() > 4 * IsolatedResult::kTail)
        tail.erase(0, tail.size() - IsolatedResult::kTail);
    }
  }
};

class Running {
 public:
  explicit Running(const IsolatedProcess& process)
      : start_(Clock::now()), deadline_(start_ + process.limit) {
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
    std::vector<std::string> words{process.program.string()};
    words.insert(words.end(), process.arguments.begin(), process.arguments.end());
    std::vector<char*> pointers;
    pointers.reserve(words.size() + 1);
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    const int error =
        ::posix_spawn(&pid_, pointers[0], &actions, &attributes, pointers.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
      fail(ErrorKind::kOs, "{}: cannot be started: {}", words[0], std::strerror(error));
    for (Captured* captured : {&out_, &err_, &report_}) captured->pipe.close_writer();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    if (pid_ > 0) kill_and_reap();
  }

  void add_descriptors(std::vector<pollfd>& out) const {
    for (const Captured* captured : {&out_, &err_, &report_})
      if (captured->open()) out.push_back({captured->pipe.reader(), POLLIN, 0});
  }

  // Takes what has come; true when everything is over.
  bool advance() {
    for (Captured* captured : {&out_, &err_, &report_}) captured->drain();
    if (!report_.open() && ::waitpid(pid_, &status_, WNOHANG) == pid_) {
      pid_ = -1;
      for (Captured* captured : {&out_, &err_}) captured->drain();
      return true;
    }
    if (Clock::now() <= deadline_) return false;
    timed_out_ = true;
    kill_and_reap();
    return true;
  }

  IsolatedResult result() const {
    IsolatedResult out;
    out.report = report_.head;
    out.error_tail =
        err_.tail.substr(err_.tail.size() - std::min(err_.tail.size(), IsolatedResult::kTail));
    out.output_bytes = out_.total;
    out.error_bytes = err_.total;
    out.timed_out = timed_out_;
    out.exit_code = WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;
    out.signal = WIFSIGNALED(status_) ? WTERMSIG(status_) : 0;
    out.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    return out;
  }

 private:
  void kill_and_reap() {
    ::kill(-pid_, SIGKILL);
    while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    for (Captured* captured : {&out_, &err_, &report_}) captured->drain();
  }

  Clock::time_point start_, deadline_;
  pid_t pid_ = -1;
  int status_ = 0;
  bool timed_out_ = false;
  Captured out_, err_, report_;
};

}  // namespace

std::vector<IsolatedResult> run_isolated(const std::vector<IsolatedProcess>& processes,
                                         std::size_t at_once) {
  std::vector<IsolatedResult> results(processes.size());
  std::vector<std::pair<std::size_t, std::unique_ptr<Running>>> running;
  std::size_t next = 0;
  while (next < processes.size() || !running.empty()) {
    for (; next < processes.size() && running.size() < at_once; ++next)
      running.emplace_back(next, std::make_unique<Running>(processes[next]));
    std::vector<pollfd> descriptors;
    for (const auto& [index, process] : running) process->add_descriptors(descriptors);
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

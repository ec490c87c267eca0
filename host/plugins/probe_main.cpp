// quanthost-probe LIMIT_MS FILE: opens one plugin and reports on descriptor 3. The first process
// watches; its child, the worker, runs the plugin's code. Whatever the worker starts becomes the
// watcher's child when its parent dies, so that nothing survives.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "host/base/json.hpp"
#include "host/plugins/dynamic_library.hpp"
#include "host/plugins/loaded_plugin.hpp"
#include "host/plugins/plugin_record.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define QH_SANITIZED 1  // sanitizers reserve more memory than the limit
#else
#define QH_SANITIZED 0
#endif

namespace {

using quanthost::Json;

constexpr int kReportFd = 3;
constexpr rlim_t kMaxFileBytes = 64 << 20;
constexpr rlim_t kMaxDataBytes = rlim_t{8} << 30;

void report(const Json& line) {
  const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(kReportFd, text.data() + at, text.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    at += static_cast<std::size_t>(n);
  }
}

void limit(__rlimit_resource resource, rlim_t value) {
  rlimit now{};
  if (::getrlimit(resource, &now) != 0) return;
  now.rlim_max = std::min(now.rlim_max, value);
  now.rlim_cur = std::min(now.rlim_cur, now.rlim_max);
  ::setrlimit(resource, &now);
}

std::size_t count_entries(const char* directory) {
  std::size_t count = 0;
  DIR* open = ::opendir(directory);
  if (!open) return 0;
  while (const dirent* entry = ::readdir(open)) count += entry->d_name[0] != '.';
  ::closedir(open);
  return count;
}

std::vector<std::string> leftovers(std::size_t threads_before, std::size_t files_before) {
  std::vector<std::string> warnings;
  if (const auto now = count_entries("/proc/self/task"); now > threads_before) {
    warnings.push_back(
        fmt::format("started {} thread(s) while it was opened", now - threads_before));
  }
  if (const auto now = count_entries("/proc/self/fd"); now > files_before) {
    warnings.push_back(fmt::format("left {} file descriptor(s) open", now - files_before));
  }
  return warnings;
}

void probe(const std::string& file) {
  const auto content = quanthost::read_plugin_file(file);
  if (!content.manifest) throw quanthost::Error(quanthost::ErrorKind::kValue, content.fault);
  const std::size_t threads = count_entries("/proc/self/task"),
                    files = count_entries("/proc/self/fd");
  report({{"stage", "open"}});
  const quanthost::DynamicLibrary library(file);
  report({{"stage", "entry"}});
  const auto& plugin = quanthost::LoadedPlugin::open(file, *content.manifest);
  report({{"stage", "describe"}});
  const auto unlike = quanthost::differences(*content.manifest, plugin.describe());
  if (!unlike.empty()) throw quanthost::Error(quanthost::ErrorKind::kValue, unlike.front());
  report({{"ok", true}, {"warnings", leftovers(threads, files)}});
}

[[noreturn]] void work(const std::string& file, long limit_ms) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // A crash has to look like one from outside, whatever handlers the run-time put in place.
  for (int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) ::signal(signal, SIG_DFL);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_CPU, static_cast<rlim_t>(limit_ms / 1000 + 2));
  limit(RLIMIT_FSIZE, kMaxFileBytes);
  if (!QH_SANITIZED) limit(RLIMIT_DATA, kMaxDataBytes);
  try {
    probe(file);
  } catch (const quanthost::Error& e) {
    report({{"ok", false}, {"reason", e.message()}});
  } catch (const std::exception& e) {
    report({{"ok", false}, {"reason", e.what()}});
  }
  ::_exit(0);  // no destructors of the plugin's: hosts do not run them either
}

std::vector<pid_t> children() {
  std::ifstream file(fmt::format("/proc/self/task/{}/children", ::getpid()));
  std::vector<pid_t> out;
  for (pid_t pid = 0; file >> pid;) out.push_back(pid);
  return out;
}

// Ends everything that came down to this process, in rounds, because the dying may leave children
// of their own.
int end_descendants() {
  int ended = 0;
  for (int round = 0; round < 1000; ++round) {
    const auto pids = children();
    if (pids.empty()) return ended;
    for (pid_t pid : pids) ::kill(pid, SIGKILL);
    for (pid_t pid : pids) ended += ::waitpid(pid, nullptr, 0) == pid;
  }
  return ended;
}

// Waits for the worker until the time is up. Other children that end meanwhile are reaped.
Json watch(pid_t worker, long limit_ms) {
  sigset_t child_signal;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  timespec end{};
  ::clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_sec += limit_ms / 1000;
  end.tv_nsec += limit_ms % 1000 * 1'000'000;
  for (;;) {
    int status = 0;
    for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid != worker) continue;
      if (WIFSIGNALED(status)) return {{"end", "signal"}, {"code", WTERMSIG(status)}};
      return {{"end", "exit"}, {"code", WEXITSTATUS(status)}};
    }
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    long left_ns = (end.tv_sec - now.tv_sec) * 1'000'000'000L + (end.tv_nsec - now.tv_nsec);
    if (left_ns <= 0) break;
    const timespec left{left_ns / 1'000'000'000L, left_ns % 1'000'000'000L};
    ::sigtimedwait(&child_signal, nullptr, &left);
  }
  ::kill(worker, SIGKILL);
  ::waitpid(worker, nullptr, 0);
  return {{"end", "timeout"}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || ::fcntl(kReportFd, F_GETFD) < 0) {
    ::dprintf(2, "quanthost-probe is run by quanthost; see 'quanthost plugins list --probe'\n");
    return 2;
  }
  const long limit_ms = std::max(1L, std::strtol(argv[1], nullptr, 10));
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // the host was interrupted: nobody waits for the answer
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &blocked, &before);
  const pid_t worker = ::fork();
  if (worker < 0) return 1;
  if (worker == 0) {
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    work(argv[2], limit_ms);
  }
  Json end = watch(worker, limit_ms);
  end["processes"] = end_descendants();
  report(end);
  return 0;
}

// Runs programs in sessions of their own, with nothing inherited but a pipe to report through, and
// ends them on time.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace quanthost {

struct IsolatedProcess {
  std::filesystem::path program;
  std::vector<std::string> arguments;
  std::chrono::milliseconds limit;  // wall clock; then the whole process group is killed
};

struct IsolatedResult {
  static constexpr std::size_t kMaxReport = 64 * 1024;
  static constexpr std::size_t kTail = 2048;

  std::string report;      // what it wrote to descriptor 3, kMaxReport bytes at most
  std::string error_tail;  // the end of what it wrote to stderr, kTail bytes at most
  std::size_t output_bytes = 0, error_bytes = 0;  // all that it wrote to stdout and stderr
  bool timed_out = false;
  int exit_code = -1;  // -1 when a signal ended it
  int signal = 0;
  double seconds = 0;
};

// At most `at_once` run at the same time; results in the order of `processes`. stdin is empty. A
// process counts as ended when it and everything it started have closed descriptor 3. Throws kOs
// when a program cannot be started.
std::vector<IsolatedResult> run_isolated(const std::vector<IsolatedProcess>& processes,
                                         std::size_t at_once);

}  // namespace quanthost

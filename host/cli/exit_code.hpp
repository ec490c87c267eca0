// What the command's exit status means. Documented in `quanthost --help`; scripts rely on it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "host/base/error.hpp"

namespace quanthost::cli {

enum class ExitCode : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kPluginNotFound = 3,  // or rejected
  kDependency = 4,      // unsatisfied or cyclic
  kAbi = 5,
  kUntrusted = 6,
  kModelInvalid = 7,
  kDeviceUnavailable = 8,
  kOutOfMemory = 9,
  kPluginCrashed = 10,
  kIo = 11,
  kInterrupted = 130,
};

struct ExitCodeMeaning {
  ExitCode code;
  const char* text;
};
const std::vector<ExitCodeMeaning>& exit_code_meanings();  // by number
std::string exit_code_text();                              // as the help prints them

// An error that knows its exit code; any other Error gets the one of its type or kind.
class CommandError : public Error {
 public:
  CommandError(ExitCode code, ErrorKind kind, std::string message, std::string hint = {})
      : Error(kind, std::move(message), std::move(hint)), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

ExitCode exit_code_of(const Error& error);

}  // namespace quanthost::cli

#include "host/cli/exit_code.hpp"

#include <fmt/format.h>

namespace quanthost::cli {

const std::vector<ExitCodeMeaning>& exit_code_meanings() {
  using enum ExitCode;
  static const std::vector<ExitCodeMeaning> kMeanings{
      {kOk, "ok"},
      {kFailed, "failed, or a check said no"},
      {kUsage, "the command line was not understood"},
      {kPluginNotFound, "plugin not found or rejected"},
      {kDependency, "dependency unsatisfied or cyclic"},
      {kAbi, "plugin built for another ABI"},
      {kUntrusted, "plugin not trusted"},
      {kModelInvalid, "model or checkpoint invalid"},
      {kDeviceUnavailable, "device or driver unavailable"},
      {kOutOfMemory, "out of memory, or a limit would be passed"},
      {kPluginCrashed, "plugin crashed"},
      {kIo, "a file or the system refused"},
      {kInterrupted, "interrupted"}};
  return kMeanings;
}

std::string exit_code_text() {
  std::string text = "Exit codes:";
  for (const ExitCodeMeaning& meaning : exit_code_meanings())
    text += fmt::format("\n  {:>3}  {}", static_cast<int>(meaning.code), meaning.text);
  return text;
}

}  // namespace quanthost::cli

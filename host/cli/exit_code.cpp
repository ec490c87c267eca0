#include "host/cli/exit_code.hpp"

#include <fmt/format.h>

#include "host/load/faults.hpp"
#include "host/plugins/plugin_host.hpp"

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

namespace {

template <typename Fault>
bool is(const Error& error) {
  return dynamic_cast<const Fault*>(&error) != nullptr;
}

ExitCode exit_code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kImport:
      return ExitCode::kDependency;
    case ErrorKind::kKey:
      return ExitCode::kPluginNotFound;
    case ErrorKind::kMemory:
      return ExitCode::kOutOfMemory;
    case ErrorKind::kOs:
      return ExitCode::kIo;
    case ErrorKind::kCancelled:
      return ExitCode::kInterrupted;
    default:
      return ExitCode::kFailed;
  }
}

}  // namespace

ExitCode exit_code_of(const Error& error) {
  if (const auto* command = dynamic_cast<const CommandError*>(&error)) return command->code();
  if (is<UserOptionError>(error)) return ExitCode::kUsage;
  if (is<CheckpointError>(error)) return ExitCode::kModelInvalid;
  if (is<DeviceError>(error)) return ExitCode::kDeviceUnavailable;
  if (is<NoSuchMethod>(error)) return ExitCode::kDependency;
  return exit_code_of(error.kind());
}

}  // namespace quanthost::cli

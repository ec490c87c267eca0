#include "host/plugins/isolated_probe.hpp"

#include <string.h>  // strsignal
#include <unistd.h>

#include <algorithm>

#include "host/base/json.hpp"
#include "host/plugins/isolated_process.hpp"

namespace quanthost {
namespace {

constexpr std::size_t kAtOnce = 32;
constexpr std::size_t kQuiet = 4096;  // more output than this is worth a warning
// The helper ends itself when its time is up; this is for when even that fails.
constexpr std::chrono::milliseconds kGrace{2000};

std::string seconds_text(std::chrono::milliseconds time) {
  return fmt::format("{:g} s", static_cast<double>(time.count()) / 1000);
}

std::string doing(const std::string& stage) {
  if (stage == "open") return "while the loader ran its constructors";
  if (stage == "entry") return "in its entry point";
  if (stage == "describe") return "in describe";
  return "before it was opened";
}

// The report is one JSON object a line: stages as they begin, the outcome, and last how the process
// ended.
ProbeResult read_report(const IsolatedResult& process, std::chrono::milliseconds limit) {
  ProbeResult out;
  out.seconds = process.seconds;
  out.output_tail = process.error_tail;
  std::string stage;
  Json outcome, end;
  for (std::size_t begin = 0; begin < process.report.size();) {
    const std::size_t stop = std::min(process.report.find('\n', begin), process.report.size());
    const Json line = Json::parse(process.report.substr(begin, stop - begin), nullptr, false);
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
    out.reason = fmt::format("hangs: not done after {} {}", seconds_text(limit), doing(stage));
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
  if (process.output_bytes + process.error_bytes > kQuiet) {
    out.warnings.push_back(fmt::format("wrote {} bytes to stdout and {} to stderr",
                                       process.output_bytes, process.error_bytes));
  }
  return out;
}

}  // namespace

std::optional<std::filesystem::path> find_probe_helper(const SearchContext& context) {
  const std::filesystem::path& here = context.library_directory;
  // From bin or lib, and from lib/x86_64-linux-gnu.
  for (const std::filesystem::path& directory :
       {here, here / "../bin", here / "../libexec/quanthost", here / "../../libexec/quanthost",
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
  std::vector<IsolatedProcess> processes;
  processes.reserve(files.size());
  for (const std::filesystem::path& file : files)
    processes.push_back({helper, {std::to_string(limit.count()), file.string()}, limit + kGrace});
  std::vector<ProbeResult> results;
  for (const IsolatedResult& process : run_isolated(processes, kAtOnce))
    results.push_back(read_report(process, limit));
  return results;
}

}  // namespace quanthost

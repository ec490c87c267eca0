#include "host/conformance/suite.hpp"

#include <string.h>  // strsignal
#include <unistd.h>

#include <algorithm>

#include "host/conformance/case.hpp"
#include "host/conformance/opened_plugin.hpp"
#include "host/plugins/isolated_process.hpp"
#include "host/plugins/loaded_plugin.hpp"
#include "host/plugins/plugin_host.hpp"

namespace quanthost::conformance {
namespace {

std::filesystem::path helper_program() {
  std::error_code error;
  const std::filesystem::path here =
      std::filesystem::canonical("/proc/self/exe", error).parent_path();
  for (const std::filesystem::path& folder : {here, here / "../bin", here / "../libexec/quanthost",
                                              std::filesystem::path(QUANTHOST_LIBEXEC_DIR)}) {
    auto path = std::filesystem::canonical(folder / "quanthost-conformance", error);
    if (!error && ::access(path.c_str(), X_OK) == 0) return path;
  }
  throw Error(
      ErrorKind::kOs,
      fmt::format("the helper program quanthost-conformance was not found near {}", here.string()),
      "install the component `cli` completely");
}

Manifest read_manifest(const std::filesystem::path& file) {
  if (!std::filesystem::is_regular_file(file))
    throw Error(ErrorKind::kOs, fmt::format("there is no file {}", file.string()),
                "give the .so of a plugin, e.g. ./build/myplugin.so");
  PluginFileContent content = read_plugin_file(std::filesystem::canonical(file));
  if (!content.manifest)
    throw Error(ErrorKind::kValue,
                fmt::format("{} is no plugin: {}", file.string(), content.fault));
  return *std::move(content.manifest);
}

// The packages that the methods ask for: the host's own ones, and those of CPU providers in the
// given folders.
std::map<std::string, MockPackage, std::less<>> find_packages(
    const std::vector<std::filesystem::path>& folders) {
  std::map<std::string, MockPackage, std::less<>> out;
  for (const PackageSpec& own : built_in_packages())
    out[own.name] = {own.version.text(),
                     [name = own.name](std::string_view, std::string_view, const void**,
                                       qh_package**) -> qh_status {
                       fail(ErrorKind::kKey,
                            "'{}' is the host's own package and has no function table", name);
                     }};
  PluginHostOptions options;
  options.plugin_paths = folders;
  options.trust = TrustPolicy::kOff;  // the user names the folders
  options.use_cache = false;
  PluginHost host(options);
  for (const PluginRecord& record : host.discovery().plugins) {
    if (!record.usable()) continue;
    for (const PackageSpec& package : record.content.manifest->packages) {
      if (package.device != "cpu") continue;
      out[package.name] = {
          package.version.text(),
          [path = record.real_path, manifest = *record.content.manifest, name = package.name](
              std::string_view interface_id, std::string_view device, const void** table,
              qh_package** self) -> qh_status {
            const LoadedPlugin::Package found =
                LoadedPlugin::open(path, manifest)
                    .package(name, std::string(interface_id), std::string(device));
            *table = found.table;
            *self = found.self;
            return QH_OK;
          }};
    }
  }
  return out;
}

CaseResult read_result(const Case& c, const IsolatedResult& process) {
  CaseResult out{c.name, c.sentence, c.rule, Outcome::kCrashed, "", process.seconds};
  const Json report = Json::parse(process.report, nullptr, false);
  if (process.timed_out) {
    out.detail = "it did not end within the time limit";
  } else if (process.signal != 0) {
    out.detail = fmt::format("signal {} ({})", process.signal, ::strsignal(process.signal));
  } else if (!report.is_object()) {
    out.detail = fmt::format("it ended with exit code {} without a report", process.exit_code);
  } else {
    const std::string outcome = report.value("outcome", "");
    out.outcome = outcome == "passed"    ? Outcome::kPassed
                  : outcome == "skipped" ? Outcome::kSkipped
                                         : Outcome::kFailed;
    out.detail = report.value("detail", "");
  }
  if (out.outcome == Outcome::kCrashed && !process.error_tail.empty())
    out.detail += "; it wrote: " + process.error_tail.substr(0, 500);
  return out;
}

}  // namespace

std::size_t SuiteResult::count(Outcome outcome) const {
  return static_cast<std::size_t>(std::count_if(
      cases.begin(), cases.end(), [&](const CaseResult& r) { return r.outcome == outcome; }));
}

std::vector<CaseInfo> list_cases() {
  std::vector<CaseInfo> out;
  for (const Case& c : all_cases()) out.push_back({c.name, c.sentence, c.rule});
  return out;
}

CaseResult run_case(const std::filesystem::path& file, const std::string& name, std::uint64_t seed,
                    const std::vector<std::filesystem::path>& provider_paths) {
  CaseResult out{name, "", "", Outcome::kFailed, "", 0};
  try {
    const auto& cases = all_cases();
    const auto found =
        std::find_if(cases.begin(), cases.end(), [&](const Case& c) { return name == c.name; });
    if (found == cases.end()) fail(ErrorKind::kValue, "there is no case '{}'", name);
    out.sentence = found->sentence;
    out.rule = found->rule;
    Subject subject{std::filesystem::canonical(file).string(), read_manifest(file), seed,
                    find_packages(provider_paths)};
    found->run(subject);
    out.outcome = Outcome::kPassed;
  } catch (const Skipped& skipped) {
    out.outcome = Outcome::kSkipped;
    out.detail = skipped.what();
  } catch (const std::exception& error) {
    out.detail = error.what();
  }
  return out;
}

SuiteResult run_suite(const std::filesystem::path& file, const SuiteOptions& options,
                      const std::function<void(const CaseResult&)>& on_result) {
  const Manifest manifest = read_manifest(file);
  const std::filesystem::path program = helper_program();
  SuiteResult result{std::filesystem::canonical(file).string(),
                     manifest.id,
                     manifest.version.text(),
                     options.seed,
                     {}};
  std::vector<const Case*> chosen;
  for (const Case& c : all_cases())
    if (options.filter.empty() ||
        std::string_view(c.name).find(options.filter) != std::string_view::npos)
      chosen.push_back(&c);
  if (chosen.empty()) fail(ErrorKind::kValue, "no case has '{}' in its name", options.filter);
  // A few at a time, so that results can be shown as they come.
  const std::size_t step = std::max<std::size_t>(options.at_once, 1);
  for (std::size_t begin = 0; begin < chosen.size(); begin += step) {
    std::vector<IsolatedProcess> processes;
    const std::size_t end = std::min(begin + step, chosen.size());
    for (std::size_t i = begin; i < end; ++i) {
      std::vector<std::string> arguments{result.file, chosen[i]->name, std::to_string(options.seed),
                                         std::filesystem::path(result.file).parent_path().string()};
      for (const auto& path : options.provider_paths) arguments.push_back(path.string());
      processes.push_back({program, std::move(arguments), options.limit});
    }
    const std::vector<IsolatedResult> ended = run_isolated(processes, step);
    for (std::size_t i = begin; i < end; ++i) {
      result.cases.push_back(read_result(*chosen[i], ended[i - begin]));
      if (on_result) on_result(result.cases.back());
    }
  }
  return result;
}

}  // namespace quanthost::conformance

// Health of what was installed: settings, plugins, their methods, and libquanthost.so.
#include <algorithm>

#include "host/cli/doctor_checks.hpp"
#include "host/cli/model_library.hpp"
#include "host/plugins/isolated_probe.hpp"

namespace quanthost::cli {
namespace {

HealthCheck search_directory_check(const DirectoryReport& report, const Session& session) {
  const std::string path = report.directory.path.string();
  if (!report.fault.empty())
    return {Health::kWarn, "plugin path", fmt::format("{}: {}", path, report.fault),
            fmt::format("its plugins are refused: chmod go-w {}, or change its owner", path)};
  return {Health::kOk, "plugin path",
          fmt::format("{}: {} file{} ({})", path, report.files, report.files == 1 ? "" : "s",
                      session.origin_of(report.directory)),
          ""};
}

HealthCheck plugin_check(const PluginRecord& plugin) {
  if (plugin.usable())
    return {Health::kOk, "plugin",
            fmt::format("{} {}{}", plugin.label(), plugin.content.manifest->version.text(),
                        plugin.probed ? ", opened in isolation" : ""),
            ""};
  // For hardware that is not here: nothing to put right.
  if (plugin.state == PluginState::kUnavailable)
    return {Health::kOk, "plugin", fmt::format("{} rests: {}", plugin.label(), plugin.reason), ""};
  return {Health::kWarn, "plugin",
          fmt::format("{} is {}: {}", plugin.label(), name_of(plugin.state), plugin.reason),
          plugin.hint};
}

// The first requirement that is not met, with what stood for election.
std::string first_unmet(const Resolution& resolution) {
  const UnmetRequirement& unmet = resolution.unmet.front();
  std::string text =
      fmt::format("{} requires {} for {}", unmet.required_by, unmet.requirement, unmet.device);
  if (unmet.candidates.empty()) return text + ", which no plugin provides";
  const LostCandidate& candidate = unmet.candidates.front();
  return text +
         fmt::format("; {} {}: {}", candidate.plugin_id, candidate.version, candidate.reason);
}

}  // namespace

void check_settings(std::vector<HealthCheck>& out, const Session& session) {
  if (!session.settings_fault().empty()) {
    out.push_back({Health::kFail, "settings", session.settings_fault(),
                   "correct the file; 'quanthost config template' shows every setting"});
    return;
  }
  const SearchContext context = SearchContext::of_this_process();
  std::string found;
  for (const Settings::File& file : Settings::files(context, session.config_option())) {
    std::error_code error;
    if (std::filesystem::exists(file.path, error))
      found += (found.empty() ? "" : ", ") + file.path.string();
  }
  out.push_back({Health::kOk, "settings", found.empty() ? "no file, all defaults" : found, ""});
}

void check_plugins(std::vector<HealthCheck>& out, Session& session) {
  PluginHost& host = session.plugins();
  if (host.trust().policy == TrustPolicy::kOff)
    out.push_back({Health::kWarn, "trust", "off: plugins that others can change are run too",
                   "quanthost plugins trust policy warn"});
  else
    out.push_back(
        {Health::kOk, "trust", fmt::format("policy {}", name_of(host.trust().policy)), ""});
  if (find_probe_helper(host.context())) {
    host.probe_all();
  } else {
    out.push_back({Health::kWarn, "isolation", "the program quanthost-probe is not installed",
                   "install quanthost's component `cli` whole: plugins are opened unprobed"});
  }
  const Discovery& found = host.discovery();
  for (const DirectoryReport& report : found.directories)
    if (report.exists) out.push_back(search_directory_check(report, session));
  if (found.plugins.empty())
    out.push_back({Health::kFail, "plugins", "no plugin was found",
                   "copy a plugin's .so into a directory that 'quanthost plugins paths' lists"});
  for (const PluginRecord& plugin : found.plugins)
    if (plugin.state != PluginState::kShadowed) out.push_back(plugin_check(plugin));
}

void check_methods(std::vector<HealthCheck>& out, Session& session) {
  PluginHost& host = session.plugins();
  for (const MethodChoice& method : host.methods()) {
    const Resolution resolution = host.try_resolve({method}, {"cpu"});
    if (resolution.ok) {
      out.push_back({Health::kOk, "method",
                     fmt::format("{} of {}", method.spec->method, method.plugin->id()), ""});
    } else {
      out.push_back(
          {Health::kWarn, "method",
           fmt::format("{} cannot run on the CPU: {}", method.spec->method,
                       first_unmet(resolution)),
           fmt::format("'quanthost plugins deps {}' shows the whole proof", method.plugin->id())});
    }
  }
}

void check_model_library(std::vector<HealthCheck>& out) {
  if (find_model_library().empty()) {
    out.push_back({Health::kWarn, "libquanthost", "not installed: no verb can load a model",
                   "install quanthost's component `host`"});
    return;
  }
  try {
    const ModelLibraryInfo info = describe_model_library();
    out.push_back({Health::kOk, "libquanthost",
                   fmt::format("{} {}, LibTorch {} ({})", info.file.string(), info.version,
                               info.libtorch, info.libtorch_file),
                   ""});
    if (info.version != QUANTHOST_VERSION)
      out.push_back(
          {Health::kFail, "libquanthost",
           fmt::format("its version is {}, this program's {}", info.version, QUANTHOST_VERSION),
           "install both from the same release"});
  } catch (const Error& e) {
    out.push_back({Health::kFail, "libquanthost", e.message(),
                   e.hint().empty() ? "put LibTorch's lib folder where the loader finds it "
                                      "(LD_LIBRARY_PATH, or beside libquanthost.so)"
                                    : e.hint()});
  }
}

std::vector<HealthCheck> run_health_checks(Session& session) {
  std::vector<HealthCheck> out;
  const auto attempt = [&](const char* name, auto&& check) {
    try {
      check();
    } catch (const Error& e) {
      out.push_back(
          {Health::kFail, name, e.message(), e.hint().empty() ? "see the message" : e.hint()});
    } catch (const std::exception& e) {
      out.push_back({Health::kFail, name, e.what(), "report this with 'quanthost env'"});
    }
  };
  attempt("machine", [&] { check_machine(out); });
  attempt("storage", [&] { check_storage(out, SearchContext::of_this_process()); });
  attempt("settings", [&] { check_settings(out, session); });
  attempt("libquanthost", [&] { check_model_library(out); });
  attempt("devices", [&] { check_devices(out); });
  attempt("plugins", [&] { check_plugins(out, session); });
  attempt("methods", [&] { check_methods(out, session); });
  return out;
}

}  // namespace quanthost::cli

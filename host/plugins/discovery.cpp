#include "host/plugins/discovery.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

namespace fs = std::filesystem;

// Every *.so of a directory, not of those below it, in the order of their names.
std::vector<fs::path> plugin_files(const fs::path& directory) {
  std::vector<fs::path> out;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() == ".so") out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

DirectoryReport look_at(const SearchDirectory& directory, const TrustSettings& trust) {
  DirectoryReport report{directory, false, {}, 0};
  std::error_code error;
  report.exists = fs::is_directory(directory.path, error);
  if (report.exists && trust.policy != TrustPolicy::kOff) {
    const fs::path real = fs::canonical(directory.path, error);
    report.fault = error ? error.message() : permission_fault(real);
  }
  return report;
}

// Of several files with one id the usable one counts, then the highest version, then the first in
// the search path.
void shadow_duplicates(std::vector<PluginRecord>& plugins) {
  std::stable_sort(plugins.begin(), plugins.end(),
                   [](const PluginRecord& a, const PluginRecord& b) {
                     if (a.label() != b.label()) return a.label() < b.label();
                     if (a.usable() != b.usable()) return a.usable();
                     return a.content.manifest && b.content.manifest &&
                            a.content.manifest->version > b.content.manifest->version;
                   });
  std::map<std::string, const PluginRecord*> first;
  for (PluginRecord& plugin : plugins) {
    if (!plugin.content.manifest) continue;
    const auto [entry, is_first] = first.try_emplace(plugin.id(), &plugin);
    if (is_first) continue;
    plugin.shadowed_by = entry->second->file.string();
    if (!plugin.usable()) continue;
    plugin.state = PluginState::kShadowed;
    plugin.reason = fmt::format("{} provides the same id in version {}", plugin.shadowed_by,
                                entry->second->content.manifest->version.text());
    plugin.hint = "remove one of the two files";
  }
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

constexpr const char* kRejectedHint =
    "get the file again, build it with quanthost_add_plugin(), or remove it from there";

}  // namespace

void Discoverer::judge_content(PluginRecord& record, const std::string& directory_fault) const {
  const auto set = [&](PluginState state, std::string reason, std::string hint) {
    record.state = state;
    record.reason = std::move(reason);
    record.hint = std::move(hint);
  };
  if (!record.content.manifest)
    return set(PluginState::kRejected, record.content.fault, kRejectedHint);
  const Manifest& manifest = *record.content.manifest;
  record.trust = judge_trust(record.real_path, manifest.id, directory_fault, trust_);
  if (record.trust.level == TrustVerdict::Level::kRefused) {
    const bool blocked =
        std::any_of(trust_.blocked.begin(), trust_.blocked.end(),
                    [&](const ListedPlugin& entry) { return entry.id == manifest.id; });
    return set(PluginState::kUntrusted, record.trust.reason,
               blocked
                   ? fmt::format("to use it again: quanthost plugins trust forget {}", manifest.id)
                   : "make the file and its directories writable for their owner alone, or "
                     "see 'quanthost plugins trust --help'");
  }
  if (std::string fault = abi_fault(manifest.abi_major, manifest.abi_minor); !fault.empty()) {
    return set(PluginState::kIncompatible, fault,
               "rebuild the plugin with this host's SDK, or use another quanthost");
  }
  const auto missing =
      libraries_.missing({{}, record.content.needed_libraries, record.content.run_path},
                         record.real_path.parent_path());
  if (!missing.empty()) {
    return set(PluginState::kUnavailable,
               fmt::format("needs {}, which {} not installed", joined(missing),
                           missing.size() == 1 ? "is" : "are"),
               "install the package that has it, or add its directory to LD_LIBRARY_PATH");
  }
  if (std::string obstacle = environment_.obstacle(manifest); !obstacle.empty()) {
    return set(PluginState::kUnavailable, obstacle,
               "nothing is wrong with the plugin; it waits for a machine that has this");
  }
  if (const auto* entry = quarantine_.find(record.real_path, record.identity)) {
    return set(PluginState::kQuarantined, entry->reason,
               fmt::format("after a repair the new file is tried by itself; to try this one again: "
                           "quanthost plugins "
                           "retry {}",
                           manifest.id));
  }
  set(PluginState::kOk, "", "");
}

PluginRecord Discoverer::judge(const fs::path& file, const std::string& origin,
                               const std::string& directory_fault) const {
  PluginRecord record;
  record.file = file;
  record.origin = origin;
  try {
    record.real_path = resolve_regular_file(file);
    record.identity = identify_file(record.real_path);
    if (const auto* cached = cache_.find(record.real_path, record.identity)) {
      record.content = cached->content;
      record.probed = cached->probed;
    } else {
      record.content = read_plugin_file(record.real_path);
      cache_.store(record.real_path, record.identity, record.content);
    }
    judge_content(record, directory_fault);
  } catch (const std::exception& e) {
    const auto* error = dynamic_cast<const Error*>(&e);
    record.state = PluginState::kRejected;
    record.reason = error ? error->message() : e.what();
    record.hint = error && !error->hint().empty() ? error->hint() : kRejectedHint;
  }
  return record;
}

Discovery Discoverer::search(const std::vector<SearchDirectory>& path) const {
  Discovery out;
  for (const SearchDirectory& directory : path) {
    DirectoryReport& report = out.directories.emplace_back(look_at(directory, trust_));
    if (!report.exists) continue;
    try {
      for (const fs::path& file : plugin_files(directory.path)) {
        ++report.files;
        out.plugins.push_back(judge(file, directory.origin, report.fault));
      }
    } catch (const fs::filesystem_error& e) {
      report.fault = e.code().message();
    }
  }
  shadow_duplicates(out.plugins);
  return out;
}

}  // namespace quanthost

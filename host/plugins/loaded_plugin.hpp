// A plugin that was opened: its library stays mapped and its table stays valid as long as the
// process lives.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "host/plugins/manifest.hpp"
#include "host/plugins/plugin_call.hpp"
#include "host/plugins/table_defaults.hpp"

namespace quanthost {

// What a plugin said of itself when it was running: ("id", …), ("quantizer", …), ("package", "name
// version device iface").
using Description = std::vector<std::pair<std::string, std::string>>;

class LoadedPlugin {
 public:
  // Opens the file, once for each process, negotiates and completes its table. Throws Error with
  // the first cause: the loader's words, a missing entry symbol, the plugin's own refusal. Any
  // thread.
  static LoadedPlugin& open(const std::filesystem::path& real_path, const Manifest& manifest);

  const Manifest& manifest() const { return manifest_; }
  const std::filesystem::path& file() const { return file_; }
  qh_plugin* handle() const { return handle_; }
  const qh_plugin_api& api() const { return api_; }
  qh_host* host() { return &host_; }

  Description describe() const;
  // The completed table of a method. Throws when the plugin has none of that name.
  qh_quantizer_api quantizer(std::string_view method) const;
  // A kernel package's function table and state, asked for once and kept. Throws with the plugin's
  // own first cause when it cannot work here.
  struct Package {
    const void* table = nullptr;
    qh_package* self = nullptr;
  };
  Package package(const std::string& name, const std::string& interface_id,
                  const std::string& device_kind);

 private:
  LoadedPlugin(const std::filesystem::path& real_path, const Manifest& manifest);
  void negotiate(qh_plugin_entry_fn entry);

  std::filesystem::path file_;
  Manifest manifest_;
  qh_host host_;
  qh_plugin* handle_ = nullptr;
  qh_plugin_api api_{};
  std::mutex mutex_;
  std::map<std::tuple<std::string, std::string, std::string>, Package> packages_;
};

// Where a running plugin's description and its manifest differ, one sentence each; empty when they
// agree.
std::vector<std::string> differences(const Manifest& manifest, const Description& description);

}  // namespace quanthost

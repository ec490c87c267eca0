// What was read from plugin files, kept between runs. Only a shortcut: a cache that is missing,
// corrupted, of another host or writable by others is ignored and built anew.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "host/plugins/plugin_record.hpp"

namespace quanthost {

class RegistryCache {
 public:
  struct Entry {
    FileIdentity identity;
    PluginFileContent content;
    bool probed = false;
  };

  // An empty path: nothing is kept between runs. Never throws.
  explicit RegistryCache(std::filesystem::path file);

  const Entry* find(const std::filesystem::path& real_path,
                    const FileIdentity& identity) const;  // null when not known
  void store(const std::filesystem::path& real_path, const FileIdentity& identity,
             const PluginFileContent& content);
  void set_probed(const std::filesystem::path& real_path, const FileIdentity& identity);
  void save();  // only when something changed; a failure is logged, not thrown

 private:
  void read();

  std::filesystem::path file_;
  std::map<std::string, Entry> entries_;
  bool changed_ = false;
};

// What both this cache and the quarantine record about a file and the host that judged it.
Json identity_to_json(const FileIdentity& identity);
FileIdentity identity_from_json(const Json& json);
std::string host_fingerprint();  // host version and plugin ABI

}  // namespace quanthost

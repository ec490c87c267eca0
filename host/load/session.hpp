// What a plugin's qh_session handle stands for: one load, quantization or save with its packages
// and its progress.
#pragma once

#include <quanthost/abi.h>

#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "host/base/json.hpp"
#include "host/load/memory_limits.hpp"
#include "host/load/progress.hpp"

namespace quanthost {

// The function table of a package's provider.
struct PackageTable {
  const void* table;
  qh_package* self;
};

// A kernel package that the quantizer asked for, and who provides it.
struct UsedPackage {
  std::string name, version;
  std::string interface_id;
  std::string device_kind;
  std::string plugin_id;
};

struct Session {
  std::map<std::string, std::string> package_versions;  // normalized name -> version
  // Opens the provider of a package for a kind of device; throws with the true cause when there is
  // none.
  std::function<PackageTable(const std::string& package, const std::string& interface_id,
                             const std::string& device_kind)>
      package_table;
  Progress* progress = nullptr;
  MemoryLimits max_memory;               // what the user allows; empty: what is free
  std::filesystem::path offload_folder;  // for what does not fit; empty: the system's own
  Json method = Json::object();          // plugin, version and config: what the results depend on
  std::mutex used_packages_mutex;
  std::vector<UsedPackage> used_packages;  // each once, in the order of asking

  qh_session* abi() { return reinterpret_cast<qh_session*>(this); }
  static Session& from_abi(qh_session* session) { return *reinterpret_cast<Session*>(session); }
};

}  // namespace quanthost

// What is known about one plugin file without running any of its code.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/plugins/file_bytes.hpp"
#include "host/plugins/manifest.hpp"
#include "host/plugins/search_path.hpp"
#include "host/plugins/trust.hpp"

namespace quanthost {

enum class PluginState {
  kOk,
  kUnavailable,   // sound, but this machine lacks something it needs
  kIncompatible,  // built for another plugin ABI
  kUntrusted,     // the trust policy refuses it
  kQuarantined,   // it failed when it was probed
  kShadowed,      // another file provides the same id and comes first
  kRejected,      // no plugin, or a broken one
};
std::string_view name_of(PluginState state);  // "ok", "unavailable", …

// What reading the file gave; a pure function of its bytes, so it can be cached.
struct PluginFileContent {
  std::optional<Manifest> manifest;
  std::string fault;  // why there is no manifest
  std::vector<std::string> needed_libraries;
  std::vector<std::string> run_path;
};

struct PluginRecord {
  std::filesystem::path file;       // as found
  std::filesystem::path real_path;  // behind symlinks; empty when it could not be resolved
  std::string origin;               // which entry of the search path it comes from
  FileIdentity identity;
  PluginFileContent content;
  PluginState state = PluginState::kRejected;
  std::string reason;  // why the state is not ok; empty when it is
  std::string hint;    // what to do about it; may be empty
  TrustVerdict trust;
  std::string shadowed_by;  // file, when kShadowed
  bool probed = false;      // this very file was opened in isolation and behaved

  bool usable() const { return state == PluginState::kOk; }
  std::string id() const { return content.manifest ? content.manifest->id : std::string(); }
  // The id, or the file's name without .so when there is no manifest.
  std::string label() const {
    return content.manifest ? content.manifest->id : file.stem().string();
  }
};

// Opens nothing: header, notes and the dynamic section alone. Throws kOs when the file cannot be
// read at all.
PluginFileContent read_plugin_file(const std::filesystem::path& real_path);

// Why this host cannot speak to a plugin built for that ABI; empty when it can.
std::string abi_fault(std::int64_t major, std::int64_t minor);

}  // namespace quanthost

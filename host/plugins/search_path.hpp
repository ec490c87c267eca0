// The directories plugins are looked for in, in order, and where each entry came from.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace quanthost {

struct SearchDirectory {
  std::filesystem::path path;  // absolute
  std::string origin;  // "--plugin-path", "QUANTHOST_PLUGIN_PATH", "user data", "system", "next to
                       // the library"
};

// What the search path depends on; tests put their own in.
struct SearchContext {
  std::vector<std::filesystem::path> explicit_paths;
  std::function<std::optional<std::string>(const char* name)> environment;
  bool privileged = false;  // the environment is not to be trusted (setuid, file capabilities)
  std::filesystem::path library_directory;  // of the file that holds this code

  static SearchContext of_this_process();
};

// Explicit paths, QUANTHOST_PLUGIN_PATH, $XDG_DATA_HOME/quanthost/plugins, system, next to the
// library. Never the current directory: relative entries are dropped, except explicit ones, which
// are made absolute. A directory appears once, at its first place. QUANTHOST_PLUGIN_SYSTEM_PATH
// replaces the system entries and what lies next to the library.
std::vector<SearchDirectory> plugin_search_path(const SearchContext& context);

// $XDG_CACHE_HOME/quanthost and $XDG_CONFIG_HOME/quanthost, or below $HOME; empty when neither is
// set or the process is privileged.
std::filesystem::path user_cache_directory(const SearchContext& context);
std::filesystem::path user_config_directory(const SearchContext& context);

}  // namespace quanthost

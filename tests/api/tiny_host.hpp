// What the API's tests share: a tiny model of the build folder, and a host that sees its plugins
// alone.
#pragma once

#include <filesystem>
#include <quanthost/host.hpp>

#include "tests/folders.hpp"

namespace quanthost::test {

inline std::filesystem::path tiny_model() {
  return std::filesystem::path(build_folder()) / "tests/api/tiny_model";
}

inline HostOptions host_options() {
  HostOptions options;
  options.plugin_paths = {std::filesystem::path(build_folder()) / "plugins"};
  options.trust = "off";
  options.use_cache = false;
  options.isolate_first_use = false;
  return options;
}

}  // namespace quanthost::test

// What the tests of one plugin need to stand it on the conformance suite's mock model.
#pragma once

#include <functional>
#include <string>

#include "host/conformance/mock_load.hpp"
#include "host/conformance/opened_plugin.hpp"
#include "host/plugins/loaded_plugin.hpp"
#include "host/plugins/plugin_record.hpp"

namespace quanthost::conformance {

inline Manifest manifest_of(const std::string& file) {
  return read_plugin_file(file).manifest.value();
}

// A package of the host's own: a version, and no functions.
inline MockPackage bare_package(const std::string& version) {
  return {version, [](auto, auto, const void**, qh_package**) -> qh_status { return QH_ERR_KEY; }};
}

// `package` under any version, with the functions of a provider that was built here.
inline MockPackage provided_package(const std::string& package, const std::string& version,
                                    const std::string& file) {
  return {version,
          [package, file](std::string_view interface_id, std::string_view device,
                          const void** table, qh_package** self) -> qh_status {
            const auto found =
                LoadedPlugin::open(file, manifest_of(file))
                    .package(package, std::string(interface_id), std::string(device));
            *table = found.table;
            *self = found.self;
            return QH_OK;
          }};
}

// What the host was told, when the load ends with a failure.
inline std::string failure_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Failure& failure) {
    return failure.what();
  }
  return "nothing failed";
}

}  // namespace quanthost::conformance

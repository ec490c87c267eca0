// Kernel packages: their tables can be had, or the reason why not can be read.
#include <cstring>

#include "host/conformance/opened_plugin.hpp"
#include "quanthost/plugin/error.hpp"

namespace quanthost::conformance {
namespace {

using qh::to_abi;

void gives_a_table_or_a_reason(const Subject& subject) {
  if (subject.manifest.packages.empty()) throw Skipped("the plugin provides no kernel package");
  for (const PackageSpec& package : subject.manifest.packages) {
    MockHost host;
    OpenedPlugin plugin(host, subject);
    require(plugin.api().package != nullptr,
            "the manifest promises package '{}', but the table has no package()", package.name);
    const void* table = nullptr;
    qh_package* self = nullptr;
    const qh_status status =
        plugin.api().package(plugin.handle(), to_abi(package.name), to_abi(package.interface_id),
                             to_abi(package.device), &table, &self);
    if (status != QH_OK) {
      require_error(host, status, "package()");
      require(package.device != "cpu", "the CPU package '{}' cannot be had on a CPU", package.name);
      continue;
    }
    require(table != nullptr, "package() returned QH_OK and no table");
    std::uint32_t size = 0;
    std::memcpy(&size, table, sizeof size);
    require(size >= 8 && size <= 64 * 1024,
            "the table of '{}' starts with {}, which is no struct_size", package.name, size);
  }
}

void refuses_other_interfaces(const Subject& subject) {
  if (subject.manifest.packages.empty()) throw Skipped("the plugin provides no kernel package");
  for (const PackageSpec& package : subject.manifest.packages) {
    MockHost host;
    OpenedPlugin plugin(host, subject);
    const void* table = nullptr;
    qh_package* self = nullptr;
    const std::string next = package.interface_id + "9";
    require_error(host,
                  plugin.api().package(plugin.handle(), to_abi(package.name), to_abi(next),
                                       to_abi(package.device), &table, &self),
                  "package() with an interface id of another revision");
    require_error(
        host,
        plugin.api().package(plugin.handle(), to_abi(package.name), to_abi(package.interface_id),
                             to_abi("abacus"), &table, &self),
        "package() for an unknown kind of device");
  }
}

}  // namespace

const std::vector<Case> kPackageCases = {
    {"package.gives-a-table-or-a-reason",
     "Every promised package can be had, or says why it cannot work here", "QH-P-50",
     gives_a_table_or_a_reason},
    {"package.refuses-other-interfaces",
     "Another revision of the interface or an unknown device is refused with a sentence", "QH-P-51",
     refuses_other_interfaces},
};

}  // namespace quanthost::conformance

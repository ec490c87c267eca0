#include "host/devices/kfd_topology.hpp"

#include <fmt/core.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>

namespace quanthost {
namespace {

std::map<std::string, std::uint64_t> properties_in(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::map<std::string, std::uint64_t> properties;
  std::string name;
  std::uint64_t value = 0;
  while (stream >> name >> value) properties[name] = value;
  return properties;
}

// 90010 is gfx90a: two decimal digits each for minor and stepping, which the name writes as
// hexadecimal digits.
std::string target_name(std::uint64_t version) {
  return fmt::format("gfx{}{:x}{:x}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace

std::optional<KfdNode> find_kfd_node(const std::string& nodes, const std::string& pci_address) {
  unsigned domain = 0, bus = 0, device = 0, function = 0;
  if (std::sscanf(pci_address.c_str(), "%x:%x:%x.%x", &domain, &bus, &device, &function) != 4)
    return {};
  const std::uint64_t location = bus << 8 | device << 3 | function;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(nodes, ignored)) {
    auto properties = properties_in(entry.path() / "properties");
    if (properties["gfx_target_version"] == 0 || properties["location_id"] != location ||
        properties["domain"] != domain) {
      continue;
    }
    return KfdNode{target_name(properties["gfx_target_version"]),
                   static_cast<std::uint32_t>(properties["wave_front_size"])};
  }
  return {};
}

}  // namespace quanthost

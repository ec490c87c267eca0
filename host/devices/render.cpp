// The devices as a table and as JSON.
#include <algorithm>

#include "host/devices/registry.hpp"

namespace quanthost {
namespace {

std::string gibibytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / (1024.0 * 1024 * 1024));
}

}  // namespace

std::string devices_to_text(const std::vector<DeviceInfo>& devices) {
  std::size_t width = 0;
  for (const DeviceInfo& info : devices) width = std::max(width, info.name().size());
  std::string text;
  for (const DeviceInfo& info : devices) {
    if (!info.available()) {
      text += fmt::format("{:<{}}  unavailable: {}\n", info.kind, width, info.reason);
      continue;
    }
    text += fmt::format("{:<{}}  {}, {} ({} free)", info.name(), width, info.model,
                        gibibytes(info.memory_total_bytes), gibibytes(info.memory_free_bytes));
    text += info.capability.empty() ? "\n" : fmt::format(", {}\n", info.capability);
  }
  return text;
}

Json devices_to_json(const std::vector<DeviceInfo>& devices) {
  Json list = Json::array();
  for (const DeviceInfo& info : devices) {
    Json entry = {{"kind", info.kind}, {"available", info.available()}};
    if (!info.available()) {
      entry["reason"] = info.reason;
    } else {
      entry["name"] = info.name();
      entry["index"] = info.index;
      entry["model"] = info.model;
      entry["capability"] = info.capability;
      entry["memory_total_bytes"] = info.memory_total_bytes;
      entry["memory_free_bytes"] = info.memory_free_bytes;
      if (info.warp_size != 0) entry["warp_size"] = info.warp_size;
    }
    list.push_back(std::move(entry));
  }
  return {{"devices", std::move(list)}};
}

}  // namespace quanthost

// Which device each module lives on: the map itself, and its inference from sizes and memory
// limits.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/base/json.hpp"
#include "host/load/memory_limits.hpp"
#include "host/load/model_outline.hpp"

namespace quanthost {

class DeviceMap {
 public:
  DeviceMap() = default;
  explicit DeviceMap(std::vector<std::pair<std::string, std::string>> entries)
      : entries_(std::move(entries)) {}
  static DeviceMap whole(const std::string& device) {
    return DeviceMap(std::vector{std::pair{std::string(), device}});
  }

  bool empty() const { return entries_.empty(); }
  const std::vector<std::pair<std::string, std::string>>& entries() const { return entries_; }
  void set(const std::string& module, const std::string& device);

  // The device of the longest entry that is `name` or a parent of it; nullopt when no entry covers
  // it.
  std::optional<std::string> find(std::string_view name) const;
  std::vector<std::string> devices() const;  // distinct, in order of first use

  // Children that share a device become one entry of their parent.
  void merge_children();

  Json to_json() const;

 private:
  std::vector<std::pair<std::string, std::string>> entries_;
};

// What the user asked for: a strategy, or a map.
enum class DeviceStrategy { kAuto, kBalanced, kBalancedLow0, kSequential };
struct DeviceMapRequest {
  std::optional<DeviceStrategy> strategy;
  std::optional<DeviceMap> map;  // neither: nothing was said
};

// "auto", "balanced", "balanced_low_0", "sequential", a device ("cpu", "0", "cuda:1"), a JSON
// object, or a YAML or JSON file.
DeviceMapRequest parse_device_map(std::string_view text, std::string_view accelerator);
DeviceMap device_map_from_json(const Json& object, std::string_view accelerator);

// Greedy, in module order: accelerators, then cpu, then disk (unlimited). The first accelerator and
// the cpu keep room for the largest layer still to be placed. Tied parameters stay together.
DeviceMap infer_device_map(const ModelOutline& model, const MemoryLimits& limits);

}  // namespace quanthost

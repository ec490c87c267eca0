#include "host/load/device_map.hpp"

#include <algorithm>
#include <filesystem>
#include <set>

#include "host/base/file.hpp"
#include "host/plugins/yaml.hpp"

namespace quanthost {
namespace {

bool lies_below(std::string_view name, std::string_view module) {
  return module.empty() ||
         (name.starts_with(module) && (name.size() == module.size() || name[module.size()] == '.'));
}

std::string first_parts(const std::string& name, std::size_t parts) {
  std::size_t end = 0;
  for (std::size_t i = 0; i < parts; ++i) {
    end = name.find('.', i == 0 ? 0 : end + 1);
    if (end == std::string::npos) return name;
  }
  return name.substr(0, end);
}

void merge_below(std::vector<std::pair<std::string, std::string>>& entries,
                 const std::string& module) {
  const std::string prefix = module.empty() ? "" : module + ".";
  const auto inside = [&](const auto& entry) { return entry.first.starts_with(prefix); };
  const auto first = std::find_if(entries.begin(), entries.end(), inside);
  if (first == entries.end()) return;
  const std::string device = first->second;
  const bool alike = std::all_of(entries.begin(), entries.end(), [&](const auto& entry) {
    return !inside(entry) || entry.second == device;
  });
  if (alike && std::count_if(entries.begin(), entries.end(), inside) > 1) {
    first->first = module;
    entries.erase(std::remove_if(first + 1, entries.end(), inside), entries.end());
    return;
  }
  const std::size_t parts =
      module.empty() ? 1
                     : static_cast<std::size_t>(std::count(module.begin(), module.end(), '.')) + 2;
  std::vector<std::string> children;
  for (const auto& entry : entries) {
    if (!inside(entry) || entry.first.size() <= module.size()) continue;
    std::string child = first_parts(entry.first, parts);
    if (std::find(children.begin(), children.end(), child) == children.end())
      children.push_back(std::move(child));
  }
  for (const std::string& child : children) merge_below(entries, child);
}

}  // namespace

void DeviceMap::set(const std::string& module, const std::string& device) {
  for (auto& entry : entries_) {
    if (entry.first == module) {
      entry.second = device;
      return;
    }
  }
  entries_.emplace_back(module, device);
}

std::optional<std::string> DeviceMap::find(std::string_view name) const {
  const std::pair<std::string, std::string>* best = nullptr;
  for (const auto& entry : entries_) {
    if (lies_below(name, entry.first) && (!best || entry.first.size() > best->first.size()))
      best = &entry;
  }
  return best ? std::optional(best->second) : std::nullopt;
}

std::vector<std::string> DeviceMap::devices() const {
  std::vector<std::string> out;
  for (const auto& [module, device] : entries_) {
    if (std::find(out.begin(), out.end(), device) == out.end()) out.push_back(device);
  }
  return out;
}

void DeviceMap::merge_children() { merge_below(entries_, ""); }

Json DeviceMap::to_json() const {
  Json out = Json::object();
  for (const auto& [module, device] : entries_) out[module] = device;
  return out;
}

DeviceMap device_map_from_json(const Json& object, std::string_view accelerator) {
  if (!object.is_object() || object.empty()) {
    throw Error(ErrorKind::kValue,
                "a device map must be an object that maps module names to devices",
                "write {\"\": \"cpu\"} to place the whole model");
  }
  DeviceMap map;
  for (const auto& [module, device] : object.items()) {
    const std::string name = device.is_number_integer() ? std::to_string(device.get<std::int64_t>())
                             : device.is_string()       ? device.get<std::string>()
                                                        : "";
    if (name.empty())
      fail(ErrorKind::kType, "device map: module \"{}\" has no device name but {}", module,
           device.dump());
    map.set(module, normalize_device(name, accelerator));
  }
  return map;
}

DeviceMapRequest parse_device_map(std::string_view text, std::string_view accelerator) {
  DeviceMapRequest request;
  if (text.empty()) return request;
  if (text == "auto") request.strategy = DeviceStrategy::kAuto;
  if (text == "balanced") request.strategy = DeviceStrategy::kBalanced;
  if (text == "balanced_low_0") request.strategy = DeviceStrategy::kBalancedLow0;
  if (text == "sequential") request.strategy = DeviceStrategy::kSequential;
  if (request.strategy) return request;
  const std::filesystem::path path(text);
  const std::string extension = path.extension();
  if (text.starts_with('{')) {
    request.map = device_map_from_json(parse_json(text, "the map"), accelerator);
  } else if (extension == ".json" || extension == ".yaml" || extension == ".yml") {
    request.map =
        device_map_from_json(Json(parse_yaml(read_text_file(path), path.string())), accelerator);
  } else {
    request.map = DeviceMap::whole(normalize_device(text, accelerator));
  }
  return request;
}

}  // namespace quanthost

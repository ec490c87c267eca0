// Reads one JSON object a line from stdin ({"outline", "tied", "no_split", "max_memory",
// "strategy", "measured"}) and writes one line for each: {"map", "limits"}. The other side of the
// comparison is test_device_map.py.
#include <iostream>

#include "host/load/balanced_memory.hpp"
#include "host/load/device_map.hpp"

namespace quanthost {
namespace {

ModuleOutline module_from(const Json& json) {
  ModuleOutline module{json.at("name"), json.at("class"), {}, {}, {}};
  for (const auto& t : json.at("parameters")) module.parameters.push_back({t.at(0), t.at(1)});
  for (const auto& t : json.at("buffers")) module.buffers.push_back({t.at(0), t.at(1)});
  for (const auto& child : json.at("children")) module.children.push_back(module_from(child));
  return module;
}

Json answer(const Json& question) {
  ModelOutline model{module_from(question.at("outline")), question.at("tied"),
                     question.at("no_split")};
  MemoryLimits limits = memory_limits_from_json(question.at("max_memory"), "cuda");
  const std::string strategy = question.at("strategy");
  if (strategy != "sequential") {
    limits = balanced_memory(
        model, limits,
        strategy == "balanced_low_0" ? FirstDevice::kKeepFree : FirstDevice::kFullShare,
        question.at("measured").get<bool>() ? LimitsFrom::kMeasuredFreeMemory : LimitsFrom::kUser);
  }
  Json shares = Json::object();
  for (const auto& [device, bytes] : limits) shares[device] = bytes;
  return {{"map", infer_device_map(model, limits).to_json()}, {"limits", shares}};
}

}  // namespace
}  // namespace quanthost

int main() {
  std::string line;
  while (std::getline(std::cin, line))
    std::cout << quanthost::answer(quanthost::parse_json(line, "stdin")).dump() << '\n';
}

// quanto_qmap.json, read and written.
#include "quantizer/qmap.hpp"

#include <nlohmann/json.hpp>
#include <quanthost/plugin/error.hpp>

#include "quantizer/options.hpp"

namespace quanthost::quanto {
namespace {

using Json = nlohmann::ordered_json;

std::optional<QType> entry_type(const std::string& module, const Json& entry, const char* key) {
  if (!entry.is_object() || !entry.contains(key) || !entry[key].is_string())
    throw qh::Error(QH_ERR_VALUE, std::string(kMapFile) + ": the entry of '" + module +
                                      "' needs a text at \"" + key + "\"");
  const std::string name = entry[key].get<std::string>();
  if (name == "none") return std::nullopt;
  return qtype_from_map(name);
}

std::string text(const std::optional<QType>& qtype) { return qtype ? map_name(*qtype) : "none"; }

}  // namespace

QuantizationMap parse_map(std::string_view json) {
  const Json root = Json::parse(json, nullptr, false);
  if (!root.is_object())
    throw qh::Error(QH_ERR_VALUE, std::string(kMapFile) + " is no JSON object",
                    "save the model again, or remove the file when the model is not quantized");
  QuantizationMap map;
  for (const auto& [module, entry] : root.items())
    map.emplace_back(module, MapEntry{entry_type(module, entry, "weights"),
                                      entry_type(module, entry, "activations")});
  return map;
}

std::string write_map(const QuantizationMap& map) {
  Json root = Json::object();
  for (const auto& [module, entry] : map)
    root[module] = Json{{"weights", text(entry.weights)}, {"activations", text(entry.activations)}};
  return root.dump(4);
}

}  // namespace quanthost::quanto

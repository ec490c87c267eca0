// quanto_qmap.json: which modules of a checkpoint are quantized, and how.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "format.hpp"

namespace quanthost::quanto {

inline constexpr char kMapFile[] = "quanto_qmap.json";

struct MapEntry {
  std::optional<QType> weights;
  std::optional<QType> activations;
};
// In the file's order.
using QuantizationMap = std::vector<std::pair<std::string, MapEntry>>;

QuantizationMap parse_map(std::string_view json);
// As optimum-quanto writes it: four spaces of indent, "none" where nothing is quantized.
std::string write_map(const QuantizationMap& map);

}  // namespace quanthost::quanto

// The report of a calibration: a line for each layer, as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "quantizer/block_solver.hpp"

namespace quanthost::gptq {

using Json = nlohmann::ordered_json;

Json to_json(const LayerReport& layer);
LayerReport report_from(const Json& json);  // throws nlohmann's exception for other JSON

// {"schema": "quanthost.gptq-report/1", …, "layers": […]}
std::string report_text(const std::vector<LayerReport>& layers, const Options& options);

// "model.layers.0.mlp.up_proj: 4 bits, error 0.0123 (rounding 0.0456), loss 7.8, 0.9 s"
std::string report_line(const LayerReport& layer);

}  // namespace quanthost::gptq

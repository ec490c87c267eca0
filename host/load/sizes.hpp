// The model as sizes, with what the quantizer makes of each parameter: what device maps and memory
// limits are held against.
#pragma once

#include "host/load/model_outline.hpp"
#include "host/load/quantizer.hpp"

namespace quanthost {

// `quantizer` may be null. `keep_in_fp32` names parameters that are loaded in float32.
ModelOutline outline_of(ModelContext& model, Quantizer* quantizer, at::ScalarType load_type,
                        const std::vector<std::string>& keep_in_fp32);

// Bytes that each device of the map gets, in the map's order of devices.
std::vector<std::pair<std::string, double>> bytes_per_device(const ModelOutline& model,
                                                             const DeviceMap& map);

}  // namespace quanthost

// The JSON of a safetensors header, read event by event: no tree is built, whatever its size.
#pragma once

#include <string_view>

#include "host/checkpoint/safetensors_header.hpp"

namespace quanthost {

// Fields and types only; offsets, shapes and sizes are not yet checked against each other. The text
// must be free of NUL bytes.
SafetensorsHeader parse_safetensors_json(std::string_view json);

}  // namespace quanthost

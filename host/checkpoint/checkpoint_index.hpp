// model.safetensors.index.json: which file holds which tensor.
#pragma once

#include <map>
#include <string>

#include "host/base/json.hpp"

namespace quanthost {

struct CheckpointIndex {
  std::map<std::string, std::string> file_of_tensor;
};

// Checks the types, and that every file is a plain relative name that cannot leave the directory.
CheckpointIndex parse_checkpoint_index(const Json& json);

}  // namespace quanthost

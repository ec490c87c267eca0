#include "host/checkpoint/checkpoint_index.hpp"

#include <filesystem>

namespace quanthost {
namespace {

bool stays_inside(const std::string& name) {
  const std::filesystem::path path(name);
  if (name.empty() || name.find('\0') != std::string::npos || path.is_absolute()) return false;
  for (const auto& part : path) {
    if (part == "..") return false;
  }
  return true;
}

}  // namespace

CheckpointIndex parse_checkpoint_index(const Json& json) {
  if (!json.is_object()) fail(ErrorKind::kValue, "the index must be a JSON object");
  const auto weight_map = json.find("weight_map");
  if (weight_map == json.end()) fail(ErrorKind::kValue, "the index has no weight_map");
  if (!weight_map->is_object()) {
    fail(ErrorKind::kValue, "weight_map must be an object of tensor name to file name");
  }
  CheckpointIndex index;
  for (const auto& [tensor, file] : weight_map->items()) {
    if (!file.is_string()) {
      fail(ErrorKind::kValue, "tensor {}: its file in weight_map must be a string", tensor);
    }
    const auto& name = file.get_ref<const std::string&>();
    if (!stays_inside(name)) {
      fail(ErrorKind::kValue,
           "tensor {}: weight_map names the file \"{}\", which is outside the directory", tensor,
           name);
    }
    index.file_of_tensor.emplace(tensor, name);
  }
  return index;
}

}  // namespace quanthost

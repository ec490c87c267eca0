#include "host/checkpoint/model_config.hpp"

#include "host/base/error.hpp"

namespace quanthost {

std::optional<Dtype> dtype_of_config(const Json& config) {
  for (const char* key : {"dtype", "torch_dtype"}) {
    const auto entry = config.find(key);
    if (entry == config.end() || entry->is_null()) continue;
    const auto dtype = entry->is_string()
                           ? dtype_from_torch_name(entry->get_ref<const std::string&>())
                           : std::nullopt;
    if (!dtype)
      fail(ErrorKind::kValue, "{} is {}, which is not the name of a torch dtype", key,
           entry->dump());
    return dtype;
  }
  return std::nullopt;
}

std::string architecture_of_config(const Json& config) {
  const auto entry = config.find("architectures");
  if (entry == config.end() || !entry->is_array() || entry->empty() || !entry->front().is_string())
    return {};
  return entry->front().get<std::string>();
}

std::string model_type_of_config(const Json& config) { return text_entry(config, "model_type"); }

std::string text_entry(const Json& object, const char* key) {
  const auto entry = object.find(key);
  return entry != object.end() && entry->is_string() ? entry->get<std::string>() : std::string();
}

void need_model_folder(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::exists(path / "config.json", error)) return;
  if (!std::filesystem::exists(path, error))
    throw Error(ErrorKind::kOs, fmt::format("{} does not exist", path.string()),
                "give the folder of a Hugging Face model, the one that holds config.json");
  if (path.extension() == ".gguf")
    throw Error(ErrorKind::kOs,
                fmt::format("{} is a GGUF file, and a model folder is needed", path.string()),
                fmt::format("turn it into one: quanthost convert {} OUT", path.string()));
  throw Error(
      ErrorKind::kOs, fmt::format("{} is no model folder: it has no config.json", path.string()),
      "give the folder that holds config.json beside the weights; 'quanthost inspect' takes "
      "a single file");
}

}  // namespace quanthost

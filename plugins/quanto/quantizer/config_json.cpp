#include "quantizer/config_json.hpp"

#include <nlohmann/json.hpp>

namespace quanthost::quanto {

double layer_norm_eps(std::string_view model_config) {
  const auto config = nlohmann::json::parse(model_config, nullptr, false);
  for (const char* key : {"layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"})
    if (config.is_object() && config.contains(key) && config[key].is_number())
      return config[key].get<double>();
  return 1e-5;
}

std::string entry_json(std::string_view quantization_config, const char* key) {
  const auto config = nlohmann::ordered_json::parse(quantization_config, nullptr, false);
  return config.is_object() && config.contains(key) ? config[key].dump() : "";
}

std::string without_calibration(std::string_view quantization_config) {
  auto config = nlohmann::ordered_json::parse(quantization_config, nullptr, false);
  if (!config.is_object()) return std::string(quantization_config);
  for (const char* key :
       {"calibration", "calibration_tokenizer", "calibration_batch_size", "calibration_samples",
        "calibration_sequence_length", "calibration_momentum", "calibration_streamline"})
    config.erase(key);
  return config.dump();
}

}  // namespace quanthost::quanto

// Adapters in PEFT's format: adapter_model.safetensors beside adapter_config.json.
#pragma once

#include <filesystem>

#include "examples/qlora/lora.hpp"

namespace quanthost::qlora {

// `base_model` is what PEFT loads the base model from. The directory appears whole or not at all.
void save_adapters(const std::filesystem::path& directory, const std::vector<Adapter>& adapters,
                   const LoraConfig& config, const std::string& base_model);

}  // namespace quanthost::qlora

#include "examples/qlora/adapter_file.hpp"

#include "host/base/atomic_output.hpp"
#include "host/checkpoint/checkpoint_writer.hpp"
#include "host/load/tensor_bridge.hpp"

namespace quanthost::qlora {
namespace {

Json config_json(const LoraConfig& config, const std::string& base_model) {
  return {{"peft_type", "LORA"},
          {"task_type", "CAUSAL_LM"},
          {"base_model_name_or_path", base_model},
          {"r", config.rank},
          {"lora_alpha", config.alpha},
          {"lora_dropout", 0.0},
          {"target_modules", config.targets},
          {"bias", "none"},
          {"fan_in_fan_out", false},
          {"inference_mode", true},
          {"init_lora_weights", true},
          {"modules_to_save", nullptr}};
}

}  // namespace

void save_adapters(const std::filesystem::path& directory, const std::vector<Adapter>& adapters,
                   const LoraConfig& config, const std::string& base_model) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const Adapter& adapter : adapters) {
    const std::string prefix = "base_model.model." + adapter.module;
    tensors.emplace_back(prefix + ".lora_A.weight", adapter.layer->a());
    tensors.emplace_back(prefix + ".lora_B.weight", adapter.layer->b());
  }
  std::vector<TensorDeclaration> declarations;
  declarations.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors)
    declarations.push_back({name, to_dtype(tensor.scalar_type()), tensor.sizes().vec()});
  AtomicOutput output(directory, OutputKind::kDirectory);
  SafetensorsWriter writer(output.path() / "adapter_model.safetensors", std::move(declarations),
                           {{"format", "pt"}});
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor plain = tensor.detach().contiguous();
    writer.write(name, {static_cast<const std::byte*>(plain.const_data_ptr()), plain.nbytes()});
  }
  writer.finish();
  write_json_file(output.path() / "adapter_config.json", config_json(config, base_model));
  output.commit();
}

}  // namespace quanthost::qlora

// What is decided before a model exists: can it run here, in which type, and where.
#include <algorithm>

#include "quantizer/quantizer.hpp"

namespace quanthost::gptq {
namespace {

using qh::Error;

std::string kind_of(const std::string& device) { return device.substr(0, device.find(':')); }

}  // namespace

void GptqQuantizer::check_packages(const std::vector<std::string>& devices) const {
  const std::string kernels = host().package_version(session(), "auto_gptq");
  const std::string optimum = host().package_version(session(), "optimum");
  const bool only_cpu = std::all_of(devices.begin(), devices.end(),
                                    [](const std::string& d) { return kind_of(d) == "cpu"; });
  if (!kernels.empty() && only_cpu && !host().satisfies(kernels, ">0.4.2"))
    throw Error(QH_ERR_RUNTIME,
                "a GPU is required to quantize or run a GPTQ model with auto_gptq " + kernels,
                "auto_gptq above 0.4.2 runs on the CPU too");
  for (const auto& [package, version] :
       {std::pair("optimum", &optimum), std::pair("auto_gptq", &kernels)})
    if (version->empty())
      throw Error(QH_ERR_IMPORT,
                  std::string("a GPTQ model needs the packages optimum and auto_gptq; ") + package +
                      " was not found",
                  std::string("add a plugin that provides the package `") + package +
                      "` to the search path; `quanthost plugins list` shows what there is");
  if (!host().satisfies(kernels, ">=0.4.2"))
    throw Error(QH_ERR_IMPORT, "a GPTQ model needs auto_gptq>=0.4.2, found " + kernels,
                "update the plugin that provides it");
  if (options_.exllama_version == 2 && options_.solver.grid.bits == 4 &&
      !(host().satisfies(optimum, ">1.13.2") && host().satisfies(kernels, ">0.4.2")))
    throw Error(
        QH_ERR_VALUE,
        "exllama_config version 2 needs optimum>1.13.2 and auto_gptq>0.4.2, found optimum " +
            optimum + " and auto_gptq " + kernels);
  if (!options_.subsets.empty() && !host().satisfies(optimum, ">=1.15.0"))
    throw Error(QH_ERR_VALUE,
                "modules_in_block_to_quantize needs optimum>=1.15.0, found " + optimum);
}

void GptqQuantizer::check_offload(const qh::DeviceMap& map) const {
  if (pre_quantized) return;
  for (const auto& [module, device] : map)
    if (device == "disk")
      throw Error(QH_ERR_VALUE,
                  "the device map puts '" + module +
                      "' on the disk, and a model on the disk cannot be quantized with GPTQ",
                  "give --max-memory or a device map without disk");
}

void GptqQuantizer::validate_environment(const qh::Environment& environment, const Report&) {
  check_packages(environment.devices);
  if (environment.device_map) check_offload(*environment.device_map);
  if (!pre_quantized && options_.dataset_json.empty())
    throw Error(QH_ERR_VALUE, "GPTQ calibrates with data, and no dataset was given",
                "--set dataset=FILE: a text, or JSONL with a document a line");
}

qh::Dtype GptqQuantizer::update_torch_dtype(qh::Dtype requested) {
  if (requested == qh::kNoDtype) {
    // As transformers does today: what is saved again has to be what was loaded.
    if (pre_quantized) return requested;
    host().info("The model is loaded in float16; another type can be asked for with dtype.");
    return qh::kFloat16;
  }
  if (requested != qh::kFloat16)
    host().info("float16 is the type that GPTQ works best with; " +
                std::string(qh::name_of(requested)) + " was asked for.");
  return requested;
}

std::optional<qh::DeviceMap> GptqQuantizer::update_device_map(std::optional<qh::DeviceMap> map) {
  if (map) return map;
  return qh::DeviceMap{{"", "cpu"}};
}

}  // namespace quanthost::gptq

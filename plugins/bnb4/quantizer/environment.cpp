// What the quantizer decides before a model exists: can it run here, in which type, and where.
#include <algorithm>

#include "plugins/bnb4/quantizer/quantizer.hpp"

namespace quanthost::bnb4 {

namespace {

constexpr const char* kMinimumVersion = "0.39.0";
constexpr double kMemoryShare = 0.90;  // quantizing needs room for the dense weight

}  // namespace

void Bnb4Quantizer::validate_environment(const qh::Environment& environment, const Report&) {
  if (host().package_version(session(), "accelerate").empty()) {
    throw qh::Error(
        QH_ERR_IMPORT,
        "bitsandbytes 4-bit quantization needs the package accelerate, which is not there",
        "install a plugin that provides accelerate");
  }
  version_ = host().package_version(session(), "bitsandbytes");
  if (version_.empty()) {
    throw qh::Error(
        QH_ERR_IMPORT,
        "bitsandbytes 4-bit quantization needs the package bitsandbytes, which is not there",
        "install a plugin that provides bitsandbytes>=0.39.0 for one of your devices");
  }
  if (environment.from_tf || environment.from_flax) {
    throw qh::Error(QH_ERR_VALUE,
                    std::string("weights from ") + (environment.from_tf ? "TensorFlow" : "Flax") +
                        " cannot be quantized to bitsandbytes 4-bit",
                    "convert the checkpoint to PyTorch's layout first");
  }
  devices_ = environment.devices;
  kernels_->add(host(), session(), devices_);
  if (kernels_->empty()) {
    std::string names;
    for (const std::string& device : devices_) names += (names.empty() ? "" : ", ") + device;
    throw qh::Error(
        QH_ERR_RUNTIME,
        "bitsandbytes " + version_ + " has kernels for none of the devices here: " + names,
        "install a plugin that provides bitsandbytes for one of them");
  }
  if (environment.device_map) check_offload(*environment.device_map);
  if (!host().satisfies(version_, std::string(">=") + kMinimumVersion)) {
    throw qh::Error(
        QH_ERR_VALUE,
        "4-bit weights need bitsandbytes>=" + std::string(kMinimumVersion) + ", found " + version_,
        "update the plugin that provides bitsandbytes");
  }
}

void Bnb4Quantizer::check_offload(const qh::DeviceMap& map) const {
  if (options_.cpu_offload) return;
  bool all_cpu = true;
  for (const auto& [module, device] : map) all_cpu = all_cpu && device == "cpu";
  if (all_cpu) return;
  const auto stranded = std::find_if(map.begin(), map.end(), [this](const auto& entry) {
    const auto& [module, device] = entry;
    return (device == "cpu" || device == "disk") &&
           std::count(modules_to_not_convert.begin(), modules_to_not_convert.end(), module) == 0;
  });
  if (stranded == map.end()) return;
  throw qh::Error(QH_ERR_VALUE,
                  "the device map puts '" + stranded->first + "' on " + stranded->second +
                      ", where 4-bit weights cannot be offloaded to",
                  "make room on the GPU, or set llm_int8_enable_fp32_cpu_offload to keep such "
                  "modules unquantized");
}

// The checkpoint's own type stays: quantizing from another one would change the codes.
qh::Dtype Bnb4Quantizer::update_torch_dtype(qh::Dtype requested) { return requested; }

std::optional<qh::DeviceMap> Bnb4Quantizer::update_device_map(std::optional<qh::DeviceMap> map) {
  if (map) return map;
  for (const std::string& device : devices_) {
    if (!kernels_->has(kind_of(device))) continue;
    host().info("no device map was given: the model goes to " + device);
    return qh::DeviceMap{{"", device}};
  }
  return map;
}

qh::Dtype Bnb4Quantizer::adjust_target_dtype(qh::Dtype) { return qh::kInt4; }

qh::MemoryLimits Bnb4Quantizer::adjust_max_memory(qh::MemoryLimits limits) {
  for (auto& [device, bytes] : limits) bytes *= kMemoryShare;
  return limits;
}

}  // namespace quanthost::bnb4

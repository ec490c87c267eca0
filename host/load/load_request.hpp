// A load as somebody asks for it, in words, made into what the pipeline takes. The command and the
// embedding API both come through here.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "host/load/loader.hpp"

namespace quanthost {

struct LoadRequest {
  std::filesystem::path model;
  QuantizationRequest quantization;
  std::string device_map;      // "auto", "balanced", …, a device, JSON or a file; empty: the CPU
  std::string max_memory;      // "0=10GiB,cpu=30GiB"
  std::string dtype = "auto";  // as stored; or "float32", …
  std::string max_queue;       // "256MiB"; empty: the default
  std::filesystem::path offload_folder;
  bool map_files = true;
};

// Nothing of the checkpoint is read. Throws UserOptionError with the option's name in front,
// CheckpointError for a path that is no model folder, and DeviceError.
LoadOptions load_options(const LoadRequest& request, const OptionNames& names);

}  // namespace quanthost

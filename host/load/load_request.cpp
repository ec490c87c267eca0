#include "host/load/load_request.hpp"

#include <ATen/Parallel.h>

#include <algorithm>

#include "host/checkpoint/model_config.hpp"
#include "host/load/devices.hpp"
#include "host/load/tensor_bridge.hpp"

namespace quanthost {
namespace {

// A file that cannot be read stays what it is; anything else is the option's fault.
template <typename Body>
void follow(const std::string& option, const std::string& value, Body&& body) {
  if (value.empty()) return;
  try {
    body();
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kOs) throw;
    const std::string message = e.within(option).message();
    throw UserOptionError(
        e.kind(), message,
        value.starts_with('{') ? "quote the JSON as one word, e.g. '{\"\": \"cpu\"}'" : e.hint());
  }
}

void check_folder(const std::filesystem::path& folder) {
  try {
    need_model_folder(folder);
  } catch (const Error& e) {
    throw CheckpointError(e);
  }
}

void check_devices(const DeviceMapRequest& request) {
  if (!request.map) return;
  for (const std::string& device : request.map->devices()) {
    try {
      memory_device(device);
    } catch (const Error& e) {
      throw DeviceError(
          e.kind(), e.message(),
          e.hint().empty() ? "'quanthost devices' lists what can be used here" : e.hint());
    }
  }
}

}  // namespace

LoadOptions load_options(const LoadRequest& request, const OptionNames& names) {
  LoadOptions load;
  follow(names.max_memory, request.max_memory,
         [&] { load.max_memory = parse_memory_limits(request.max_memory, default_accelerator()); });
  follow(names.max_queue, request.max_queue, [&] {
    load.stream.queue_bytes = static_cast<std::uint64_t>(parse_byte_size(request.max_queue));
  });
  if (request.dtype != "auto")
    follow(names.dtype, request.dtype, [&] { qh_dtype_named(request.dtype); });
  check_folder(request.model);
  load.checkpoint = request.model;
  load.quantization = user_quantization(request.quantization, names);
  follow(names.device_map, request.device_map,
         [&] { load.device_map = parse_device_map(request.device_map, default_accelerator()); });
  check_devices(load.device_map);
  load.dtype = request.dtype;
  load.stream.readers = static_cast<unsigned>(std::min(at::get_num_threads(), 4));
  load.offload_folder = request.offload_folder;
  load.map_files = request.map_files;
  return load;
}

}  // namespace quanthost

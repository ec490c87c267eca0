// The four providers that are built in. Paths are parameters so that tests can put drivers of their
// own there.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "host/devices/registry.hpp"

namespace quanthost {

std::unique_ptr<DeviceProvider> make_cpu_provider();

// emulated:0 has warps of 32 lanes, emulated:1 of 64. QUANTHOST_EMULATOR_SEED sets the order of the
// lanes.
std::unique_ptr<DeviceProvider> make_emulated_provider();

// Runs the emulator's blocks on the host's threads from now on: `run` as
// qh_emulated_stream::parallel_for.
void set_emulator_parallel_for(void (*run)(void* context, std::uint64_t count,
                                           void (*body)(void* argument, std::uint64_t i),
                                           void* argument),
                               void* context);

std::unique_ptr<DeviceProvider> make_cuda_provider(std::string library = "libcuda.so.1");

struct HipPaths {
  std::vector<std::string> libraries = {"libamdhip64.so.7", "libamdhip64.so.6",
                                        "libamdhip64.so.5"};  // the first that opens
  std::string driver = "/dev/kfd";
  std::string topology = "/sys/class/kfd/kfd/topology/nodes";
};
std::unique_ptr<DeviceProvider> make_hip_provider(HipPaths paths = {});

}  // namespace quanthost

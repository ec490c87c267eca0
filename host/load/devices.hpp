// The devices of this machine by name: "cpu", "cuda:0", and emulated ones that compute on host
// memory.
#pragma once

#include <c10/core/Device.h>

#include <string>
#include <string_view>
#include <vector>

namespace quanthost {

// The kind before the colon: "cuda" of "cuda:1".
std::string_view device_kind(std::string_view device);

// Where the tensors of a device lie. Opens LibTorch's CUDA library when a CUDA device is first
// asked for. Throws kRuntime, with the first cause, for a device that is not there.
at::Device memory_device(std::string_view device);

// The devices that can be used, best first; always ends with "cpu".
std::vector<std::string> usable_devices();

// The kind that a bare index in a device map means.
std::string default_accelerator();

double free_bytes(std::string_view device);  // memory that a load may take

}  // namespace quanthost

// The devices that a load uses, by name: those of host/devices, set up so that they and LibTorch
// share memory and threads.
#pragma once

#include <c10/core/Device.h>

#include <string>
#include <string_view>
#include <vector>

#include "host/devices/device.hpp"

namespace quanthost {

// The kind before the colon: "cuda" of "cuda:1".
std::string_view device_kind(std::string_view device);

// The device itself, and where its tensors lie. The first opens a device once for the process, with
// LibTorch's allocator where LibTorch has one for it and the emulator's blocks on LibTorch's
// threads; the second opens LibTorch's CUDA library when a CUDA device is first asked for. Both
// throw, with the first cause, for a device that is not there. Any thread.
Device& compute_device(std::string_view device);
at::Device memory_device(std::string_view device);

// The devices that are used without being named, best first; always ends with "cpu".
std::vector<std::string> usable_devices();

// The kind that a bare index in a device map means.
std::string default_accelerator();

double free_bytes(std::string_view device);  // memory that a load may take

}  // namespace quanthost

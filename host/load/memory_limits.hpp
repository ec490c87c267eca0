// How much each device may hold: reading what users write, and the shares that balance a model over
// accelerators.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/base/json.hpp"

namespace quanthost {

// Device name -> bytes, accelerators first (by index), then "cpu", then "disk". A fraction of a
// byte may come out of a quantizer's scaling, as in Python.
using MemoryLimits = std::vector<std::pair<std::string, double>>;

bool is_accelerator(std::string_view device);  // anything but "cpu" and "disk"

// "10GiB" (2^30), "10GB" (10^9), "10Gb" (bits, as accelerate reads a lower-case b), or a plain
// number of bytes.
double parse_byte_size(std::string_view text);

// A JSON object or "0=10GiB,cpu=30GiB". A bare index means that device of kind `accelerator`.
MemoryLimits parse_memory_limits(std::string_view text, std::string_view accelerator);
MemoryLimits memory_limits_from_json(const Json& object, std::string_view accelerator);

// "0" -> "<accelerator>:0"; "cuda" -> "cuda:0"; "cpu", "disk" and complete names stay.
std::string normalize_device(std::string_view device, std::string_view accelerator);

}  // namespace quanthost

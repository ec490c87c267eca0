// What a load will need of each device, from headers alone: nothing of the tensors is read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/load/loader.hpp"

namespace quanthost {

struct EstimateOptions {
  std::int64_t context = 2048;  // tokens in the cache, and in one forward
  std::int64_t batch = 1;
  StreamLimits stream;
};

// All in bytes.
struct DeviceNeeds {
  std::string device;
  std::uint64_t weights = 0;    // parameters and buffers as they will lie there, quantized or not
  std::uint64_t overhead = 0;   // what the quantizer adds: scales, zeros, tables, faster layouts
  std::uint64_t kv_cache = 0;   // of the blocks that lie there
  std::uint64_t workspace = 0;  // activations of one block over the context, logits of one token,
                                // and one quantized layer made dense
  std::uint64_t loading = 0;    // beside the model while it loads: the queue and the largest tensor

  std::uint64_t model() const { return weights + overhead; }
  std::uint64_t peak_while_loading() const { return model() + loading; }
  std::uint64_t running() const { return model() + kv_cache + workspace; }
};

struct MemoryNeeds {
  std::vector<DeviceNeeds> devices;  // in the order of the device map; "cpu" is always there
  std::uint64_t process = 0;         // of this process before any model: program, LibTorch, plugins
  std::vector<std::string> untold;   // quantized layers whose class does not say what it adds
};

// `planned` comes from plan_load().
MemoryNeeds estimate_memory(LoadedModel& planned, const EstimateOptions& options);

}  // namespace quanthost

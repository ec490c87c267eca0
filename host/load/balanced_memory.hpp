// Shares of an accelerator's memory that spread a model evenly: device maps "auto", "balanced" and
// "balanced_low_0".
#pragma once

#include "host/load/memory_limits.hpp"
#include "host/load/model_outline.hpp"

namespace quanthost {

enum class FirstDevice { kFullShare, kKeepFree };  // kKeepFree: balanced_low_0
enum class LimitsFrom {
  kMeasuredFreeMemory,
  kUser
};  // a measured single accelerator keeps a tenth free

MemoryLimits balanced_memory(const ModelOutline& model, MemoryLimits limits, FirstDevice first,
                             LimitsFrom from);

}  // namespace quanthost

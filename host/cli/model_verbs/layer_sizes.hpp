// What each layer of a loaded model takes, before and after quantization.
#pragma once

#include "host/base/json.hpp"
#include "host/load/loader.hpp"

namespace quanthost::cli {

// [{name, class, quantized, bytes_before, bytes_after}], in module order; modules that hold tensors
// of their own. "Before" is the dense layer in the element type it had; tied parameters count once.
OrderedJson layer_sizes(const LoadedModel& loaded);

}  // namespace quanthost::cli

// What each layer of a loaded model takes, before and after quantization, and how far off it is.
#pragma once

#include <filesystem>

#include "host/base/json.hpp"
#include "host/load/loader.hpp"

namespace quanthost::cli {

// [{name, class, method, quantized, bytes_before, bytes_after}], in module order; modules that hold
// tensors of their own. "Before" is the dense layer in the element type it had; tied parameters
// count once.
OrderedJson layer_sizes(const LoadedModel& loaded);

// Adds what a quantizer reports of its layers in the folder it was saved to: error, rtn_error,
// loss, bits, group_size and seconds, of the layers in its file …_report.json.
void add_saved_reports(OrderedJson& layers, const std::filesystem::path& folder);

}  // namespace quanthost::cli

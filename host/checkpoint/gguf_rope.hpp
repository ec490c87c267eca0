// The scaling of rotary frequencies that a GGUF file holds, as config.json's rope_scaling.
#pragma once

#include "host/base/json.hpp"
#include "host/checkpoint/gguf_file.hpp"

namespace quanthost {

// Llama 3's frequency factors come as a tensor instead of metadata.
inline constexpr std::string_view kRopeFactorsTensor = "rope_freqs.weight";

// null, or {"rope_type": "linear" | "yarn" | "llama3", ...}. Throws Error(kNotImplemented) for any
// other.
Json rope_scaling_of(const GgufFile& file, const std::string& arch, double theta,
                     std::int64_t head_dim);

}  // namespace quanthost

// What is read from and written to config.json beyond the method's own fields.
#pragma once

#include <string>
#include <string_view>

namespace quanthost::quanto {

// transformers' names for it differ by family; OPT has none and takes torch's default.
double layer_norm_eps(std::string_view model_config);

// The value of a quantization_config's entry, as JSON; "" when there is none.
std::string entry_json(std::string_view quantization_config, const char* key);

// A quantization_config without the fields that say how activations were calibrated.
std::string without_calibration(std::string_view quantization_config);

}  // namespace quanthost::quanto

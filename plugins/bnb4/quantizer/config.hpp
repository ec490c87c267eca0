// The options of the method, checked, under BitsAndBytesConfig's names.
#ifndef QUANTHOST_PLUGINS_BNB4_QUANTIZER_CONFIG_HPP
#define QUANTHOST_PLUGINS_BNB4_QUANTIZER_CONFIG_HPP

#include <optional>
#include <quanthost/plugin.hpp>
#include <string>
#include <vector>

#include "plugins/bnb4/format.hpp"

namespace quanthost::bnb4 {

struct Options {
  QuantType quant_type;
  bool double_quant;
  qh::Dtype compute_dtype;
  qh::Dtype quant_storage;
  bool cpu_offload;
  std::optional<std::vector<std::string>> skip_modules;
};

// Throws with the kind of error that BitsAndBytesConfig raises.
Options read_options(const qh::Config& config);

// What BitsAndBytesConfig.to_dict() holds, as JSON with sorted keys.
std::string saved_config(const qh::Config& config);

}  // namespace quanthost::bnb4

#endif

// A method's options as the ABI's typed fields.
#pragma once

#include <quanthost/abi/quantizer.h>

#include <deque>
#include <string>
#include <vector>

#include "host/load/quantization_config.hpp"

namespace quanthost {

// Every declared field, then the checkpoint's unknown ones as JSON. Borrows names from `config`.
class ConfigFields {
 public:
  explicit ConfigFields(const MethodConfig& config);
  const qh_config_field* data() const { return fields_.data(); }
  std::uint64_t size() const { return fields_.size(); }

 private:
  void add(std::string_view name, std::string_view declared_type, const OrderedJson& value,
           bool is_default);

  std::vector<qh_config_field> fields_;
  std::deque<std::string> texts_;  // a deque keeps its elements in place
};

}  // namespace quanthost

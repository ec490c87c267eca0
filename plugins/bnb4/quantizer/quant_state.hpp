// The facts about a packed weight that bitsandbytes stores beside it as JSON bytes.
#ifndef QUANTHOST_PLUGINS_BNB4_QUANTIZER_QUANT_STATE_HPP
#define QUANTHOST_PLUGINS_BNB4_QUANTIZER_QUANT_STATE_HPP

#include <cstdint>
#include <optional>
#include <quanthost/plugin.hpp>
#include <string>
#include <string_view>

#include "plugins/bnb4/format.hpp"

namespace quanthost::bnb4 {

struct QuantState {
  QuantType quant_type = QuantType::kFp4;
  int64_t blocksize = 64;
  qh::Dtype dtype = qh::kNoDtype;  // of the dense weight
  int64_t rows = 0;
  int64_t columns = 0;
  std::optional<double> nested_offset;  // set when the block scales are quantized too
  int64_t nested_blocksize = 256;
};

std::string_view name_of(QuantType type);                         // "nf4"
std::optional<QuantType> quant_type_from(std::string_view name);  // nothing for any other name

// The bytes that Python's json.dumps gives.
std::string to_json(const QuantState& state);
// Throws qh::Error that names `where` for anything bitsandbytes would refuse.
QuantState quant_state_from_json(std::string_view json, std::string_view where);

// A double as Python prints it: the shortest digits that give it back.
std::string python_repr(double value);

}  // namespace quanthost::bnb4

#endif

// config.json and what the host itself reads of it.
#include <cstdlib>

#include "host/checkpoint/model_config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace quanthost;
  try {
    const Json config = parse_json({reinterpret_cast<const char*>(data), size}, "config.json");
    const Json copy = parse_json(config.dump(), "config.json");
    if (!config.is_object()) return 0;
    if (architecture_of_config(copy) != architecture_of_config(config)) std::abort();
    model_type_of_config(config);
    dtype_of_config(config);
  } catch (const Error&) {  // refused with a reason
  }
  return 0;
}

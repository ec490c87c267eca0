// The signed 8-bit "dynamic map" of double quantization, and the two rules that quantize to it.
#ifndef QUANTHOST_PLUGINS_BNB4_DYNAMIC_MAP_HPP
#define QUANTHOST_PLUGINS_BNB4_DYNAMIC_MAP_HPP

#include <array>
#include <cstdint>

namespace quanthost::bnb4 {

// bitsandbytes quantizes the block scales of one weight in blocks of this many.
inline constexpr int64_t kNestedBlocksize = 256;

// 256 ascending values in [-0.993, 1]; byte for byte what create_dynamic_map gives.
const std::array<float, 256>& dynamic_map();

// Code of a value already divided by its block's maximum. `map` is ascending.
// CPU rule of bitsandbytes 0.50: through a table over 65536 equal steps of [-1, 1], so tiny values
// are coarse.
class CpuDynamicEncoder {
 public:
  explicit CpuDynamicEncoder(const float* map);
  uint8_t encode(float value) const;

 private:
  std::array<uint8_t, 65536> code_of_step_;
};

// CUDA rule: the nearest value, found by bisection; ties keep the even index.
uint8_t encode_dynamic_cuda(const float* map, float value);

}  // namespace quanthost::bnb4

#endif

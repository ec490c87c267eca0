// Code tables and decisions inside kernels. Included by .cu files, after quanthost/kernel.hpp.
#ifndef QUANTHOST_PLUGINS_BNB4_KERNELS_GPU_DEVICE_CODES_HPP
#define QUANTHOST_PLUGINS_BNB4_KERNELS_GPU_DEVICE_CODES_HPP

#include "plugins/bnb4/kernels/gpu/launchers.hpp"
#include "quanthost/kernel.hpp"

namespace quanthost::bnb4::gpu_kernels {
namespace {

constexpr int kThreads = 256;  // of a block
constexpr int kLanes = 32;     // that share a block of the weight, or a row

inline unsigned blocks_for(int64_t items, int64_t items_of_block) {
  return static_cast<unsigned>((items + items_of_block - 1) / items_of_block);
}

struct CodeTable {
  float value[16];
};
inline CodeTable host_table(const float* from) {
  CodeTable table;
  for (int i = 0; i < 16; ++i) table.value[i] = from[i];
  return table;
}

// What a quantizing kernel needs to decide, passed as its parameter: one text then serves both
// rules.
struct Decision {
  float thresholds[16];
  unsigned char order[16];
  int count;       // of thresholds
  bool magnitude;  // compare |v|, the sign is bit 3
  bool cpu_rule;
};

inline Decision make_decision(QuantType type, Rule rule) {
  Decision decision{};
  decision.cpu_rule = rule == Rule::kCpu;
  decision.magnitude = rule == Rule::kCuda && type == QuantType::kFp4;
  decision.count = decision.magnitude ? 7 : 15;
  const float* thresholds = decision.magnitude ? kFp4CudaThresholds : cpu_thresholds(type);
  const uint8_t* order = decision.magnitude ? kFp4CudaOrder : cpu_order(type);
  for (int i = 0; i < decision.count; ++i) decision.thresholds[i] = thresholds[i];
  for (int i = 0; i <= decision.count; ++i) decision.order[i] = order[i];
  return decision;
}

QH_DEVICE unsigned encode(const Decision& decision, float value) {
  const float compared = decision.magnitude && value < 0 ? -value : value;
  int bin = 0;
  for (int i = 0; i < decision.count; ++i) {
    // A NaN exceeds every threshold on the CPU, and none on a GPU.
    bin += decision.cpu_rule ? !(decision.thresholds[i] >= compared)
                             : compared > decision.thresholds[i];
  }
  const unsigned sign = decision.magnitude && value < 0 ? 8u : 0u;
  return sign | decision.order[bin];
}

// A block's scale. The product is rounded before the sum, as two kernels of LibTorch would: hence
// volatile, which keeps compilers from fusing them.
QH_DEVICE float scale_of(const Scales& scales, int64_t block) {
  if (scales.absmax) return scales.absmax[block];
  const volatile float product = scales.nested_map[scales.codes[block]] *
                                 scales.nested_absmax[block / scales.nested_blocksize];
  return product + *scales.offset;
}

}  // namespace
}  // namespace quanthost::bnb4::gpu_kernels

#endif

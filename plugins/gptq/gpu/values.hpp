// Reading codes, grids and 16-bit floats inside kernels. Included by .cu files, after
// quanthost/kernel.hpp.
#pragma once

#include "code_words.hpp"
#include "gpu/kernels.hpp"

namespace gpu = quanthost::gpu;

namespace quanthost::gptq::gpu_kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kLanes = 32;

QH_DEVICE float read(const void* data, Element type, std::int64_t index) {
  if (type == Element::f16) return gpu::to_float(static_cast<const gpu::half_t*>(data)[index]);
  if (type == Element::bf16) return gpu::to_float(static_cast<const gpu::bf16_t*>(data)[index]);
  return static_cast<const float*>(data)[index];
}

QH_DEVICE void write(void* data, Element type, std::int64_t index, float value) {
  if (type == Element::f16) {
    static_cast<gpu::half_t*>(data)[index] = gpu::to_half(value);
  } else if (type == Element::bf16) {
    static_cast<gpu::bf16_t*>(data)[index] = gpu::to_bf16(value);
  } else {
    static_cast<float*>(data)[index] = value;
  }
}

QH_DEVICE float rounded(Element type, float value) {
  if (type == Element::f16) return gpu::to_float(gpu::to_half(value));
  return type == Element::bf16 ? gpu::to_float(gpu::to_bf16(value)) : value;
}

QH_DEVICE std::int64_t input_of(const Weight& w, std::int64_t row) {
  return w.input_order ? w.input_order[row] : row;
}

// Scale and zero of one output, kept while rows stay in the group.
struct StoredGrid {
  std::int64_t group = -1;
  float scale = 0, zero = 0;

  // Returns whether the group is another one.
  QH_DEVICE bool load(const Weight& w, std::int64_t wanted, std::int64_t output) {
    if (wanted == group) return false;
    group = wanted;
    scale = read(w.scales, w.scale_type, group * w.outputs + output);
    const std::uint32_t* words = w.qzeros + group * words_for(w.outputs, w.bits);
    zero = static_cast<float>(code_at(words, 1, output, w.bits));
    return true;
  }
};

QH_DEVICE float code_of(const Weight& w, std::int64_t row, std::int64_t output) {
  return static_cast<float>(code_at(w.qweight + output, w.outputs, row, w.bits));
}

// The dense value, before it is rounded to the type of the scales.
QH_DEVICE float value_of(const Weight& w, std::int64_t row, std::int64_t output, StoredGrid& grid) {
  grid.load(w, w.g_idx[row], output);
  return grid.scale * (code_of(w, row, output) - grid.zero);
}

inline unsigned blocks_for(std::int64_t items, std::int64_t items_of_block) {
  return static_cast<unsigned>((items + items_of_block - 1) / items_of_block);
}

// A grid's second dimension is limited: longer ranges go in several launches.
// start(first, size): items of one launch.
template <class Start>
inline void in_launches(std::int64_t items, std::int64_t items_of_block, Start start) {
  const std::int64_t step = 32768 * items_of_block;
  for (std::int64_t first = 0; first < items; first += step)
    start(first, items - first < step ? items - first : step);
}

}  // namespace
}  // namespace quanthost::gptq::gpu_kernels

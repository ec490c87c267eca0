// Quantizing and dequantizing by blocks: groups of 32 lanes, so that the text is one for every warp
// size.
#include "plugins/bnb4/dynamic_map.hpp"
#include "plugins/bnb4/kernels/gpu/device_codes.hpp"

namespace quanthost::bnb4::gpu_kernels {
namespace {

using gpu::bf16_t;
using gpu::half_t;

constexpr int kGroups = kThreads / kLanes;

QH_DEVICE int lane_of_group() { return gpu::thread_in_block() % kLanes; }
QH_DEVICE int64_t group_of_grid() {
  return static_cast<int64_t>(gpu::block_index().x) * kGroups + gpu::thread_in_block() / kLanes;
}

// One group a quantization block: its maximum, then two codes a lane and step.
template <class T>
QH_KERNEL void quantize_blocks(const T* source, int64_t count, int64_t blocksize, Decision decision,
                               unsigned char* packed, float* absmax) {
  const int64_t block = group_of_grid();
  const int64_t first = block * blocksize;
  if (first >= count) return;
  const int64_t last = first + blocksize < count ? first + blocksize : count;
  float largest = 0;
  bool has_nan = false;
  for (int64_t i = first + lane_of_group(); i < last; i += kLanes) {
    const float magnitude = fabsf(gpu::to_float(source[i]));
    has_nan = has_nan || magnitude != magnitude;
    largest = magnitude > largest ? magnitude : largest;
  }
  largest = gpu::group_max<kLanes>(largest);
  const bool partial = last - first < blocksize;
  if (decision.cpu_rule) {
    if (gpu::ballot<kLanes>(has_nan) != 0) largest = gpu::bit_cast<float>(0x7fc00000u);
    if (partial && largest < kSmallestAbsmax) largest = kSmallestAbsmax;
  }
  if (lane_of_group() == 0) absmax[block] = largest;
  const float divisor = decision.cpu_rule && largest < kSmallestAbsmax ? kSmallestAbsmax : largest;
  const float factor = 1.0f / divisor;
  const bool divide = decision.cpu_rule && partial;
  for (int64_t i = first + 2 * lane_of_group(); i < last; i += 2 * kLanes) {
    const float even = gpu::to_float(source[i]);
    const float odd = i + 1 < last ? gpu::to_float(source[i + 1]) : 0.0f;
    // The missing half of the last byte is the code of 0.
    const unsigned high = encode(decision, divide ? even / divisor : even * factor);
    const unsigned low =
        encode(decision, i + 1 < last ? (divide ? odd / divisor : odd * factor) : 0.0f);
    packed[i / 2] = static_cast<unsigned char>(high << 4 | low);
  }
}

constexpr int kElementsOfThread = 16;

// Sixteen elements a thread: they lie in one block, since block sizes are multiples of 32.
template <class T>
QH_KERNEL void dequantize_blocks(Weight weight, CodeTable codes, T* out) {
  QH_SHARED(float, table, 16);
  if (gpu::thread_in_block() < 16)
    table[gpu::thread_in_block()] = codes.value[gpu::thread_in_block()];
  gpu::block_barrier();
  const int64_t count = weight.rows * weight.columns;
  const int64_t first =
      (static_cast<int64_t>(gpu::block_index().x) * kThreads + gpu::thread_in_block()) *
      kElementsOfThread;
  if (first >= count) return;
  const float scale = scale_of(weight.scales, first / weight.blocksize);
  const int64_t last = first + kElementsOfThread < count ? first + kElementsOfThread : count;
  for (int64_t i = first; i < last; i += 2) {
    const unsigned byte = weight.packed[i / 2];
    const float high = table[static_cast<int>(byte >> 4)];
    const float low = table[static_cast<int>(byte & 15u)];
    out[i] = gpu::from_float<T>(high * scale);
    if (i + 1 < last) out[i + 1] = gpu::from_float<T>(low * scale);
  }
}

struct Map256 {
  float value[256];
};

// bitsandbytes' bisection: ends on an even index, then decides against its neighbour; ties keep the
// even one.
QH_DEVICE int nearest_entry(const gpu::SharedArray<float>& map, float value) {
  int pivot = 127;
  int upper = 255;
  int lower = 0;
  for (int step = 64; step > 0; step >>= 1) {
    const float at = map[pivot];
    if (value > at) {
      lower = pivot;
      pivot += step;
    } else {
      upper = pivot;
      pivot -= step;
    }
  }
  const float at = map[pivot];
  if (value > at) {
    const float above = map[upper];
    return value > (above + at) * 0.5f ? upper : pivot;
  }
  const float below = map[lower];
  return value < (below + at) * 0.5f ? lower : pivot;
}

QH_KERNEL void quantize_8bit_blocks(const float* values, const float* offset, int64_t count,
                                    int64_t blocksize, Map256 map, unsigned char* codes,
                                    float* absmax) {
  QH_SHARED(float, table, 256);
  for (int i = gpu::thread_in_block(); i < 256; i += kThreads) table[i] = map.value[i];
  gpu::block_barrier();
  const int64_t block = group_of_grid();
  const int64_t first = block * blocksize;
  if (first >= count) return;
  const int64_t last = first + blocksize < count ? first + blocksize : count;
  const float shift = offset ? *offset : 0.0f;
  float largest = 0;
  for (int64_t i = first + lane_of_group(); i < last; i += kLanes) {
    const float magnitude = fabsf(values[i] - shift);
    largest = magnitude > largest ? magnitude : largest;
  }
  largest = gpu::group_max<kLanes>(largest);
  if (lane_of_group() == 0) absmax[block] = largest;
  const float factor = 1.0f / largest;
  for (int64_t i = first + lane_of_group(); i < last; i += kLanes) {
    codes[i] = static_cast<unsigned char>(nearest_entry(table, (values[i] - shift) * factor));
  }
}

QH_KERNEL void dequantize_8bit_values(const unsigned char* codes, const float* absmax,
                                      const float* map, int64_t count, int64_t blocksize,
                                      float* out) {
  const int64_t i = static_cast<int64_t>(gpu::block_index().x) * kThreads + gpu::thread_in_block();
  if (i < count) out[i] = map[codes[i]] * absmax[i / blocksize];
}

// One thread block, sums in float64 and in a fixed order.
QH_KERNEL void mean_of(const float* values, int64_t count, float* out) {
  QH_SHARED(double, sums, kThreads);
  double sum = 0;
  for (int64_t i = gpu::thread_in_block(); i < count; i += kThreads) sum += values[i];
  sums[gpu::thread_in_block()] = sum;
  gpu::block_barrier();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (gpu::thread_in_block() < half) {
      const double other = sums[gpu::thread_in_block() + half];
      sums[gpu::thread_in_block()] += other;
    }
    gpu::block_barrier();
  }
  if (gpu::thread_in_block() == 0) {
    const double total = sums[0];
    *out = static_cast<float>(total / static_cast<double>(count));
  }
}

template <class T>
void launch_quantize(gpu::Stream stream, const void* source, int64_t count, int64_t blocksize,
                     const Decision& decision, uint8_t* packed, float* absmax) {
  gpu::launch(stream, {blocks_for(block_count(count, blocksize), kGroups), kThreads},
              quantize_blocks<T>, static_cast<const T*>(source), count, blocksize, decision, packed,
              absmax);
}

template <class T>
void launch_dequantize(gpu::Stream stream, const Weight& weight, void* out) {
  const int64_t count = weight.rows * weight.columns;
  gpu::launch(stream, {blocks_for(count, int64_t{kThreads} * kElementsOfThread), kThreads},
              dequantize_blocks<T>, weight, host_table(code_table(weight.type)),
              static_cast<T*>(out));
}

}  // namespace

void quantize(void* stream, const void* source, FloatType type, int64_t count, int64_t blocksize,
              QuantType quant_type, Rule rule, uint8_t* packed, float* absmax) {
  if (count == 0) return;
  const Decision decision = make_decision(quant_type, rule);
  const auto start = [&](auto* kind) {
    launch_quantize<std::remove_pointer_t<decltype(kind)>>({stream}, source, count, blocksize,
                                                           decision, packed, absmax);
  };
  if (type == FloatType::kFloat32) return start(static_cast<float*>(nullptr));
  if (type == FloatType::kFloat16) return start(static_cast<half_t*>(nullptr));
  start(static_cast<bf16_t*>(nullptr));
}

void dequantize(void* stream, const Weight& weight, FloatType type, void* out) {
  if (weight.rows * weight.columns == 0) return;
  if (type == FloatType::kFloat32) return launch_dequantize<float>({stream}, weight, out);
  if (type == FloatType::kFloat16) return launch_dequantize<half_t>({stream}, weight, out);
  launch_dequantize<bf16_t>({stream}, weight, out);
}

void quantize_8bit(void* stream, const float* values, const float* offset, int64_t count,
                   int64_t blocksize, uint8_t* codes, float* absmax) {
  if (count == 0) return;
  Map256 map;
  for (int i = 0; i < 256; ++i) map.value[i] = dynamic_map()[static_cast<size_t>(i)];
  gpu::launch({stream}, {blocks_for(block_count(count, blocksize), kGroups), kThreads},
              quantize_8bit_blocks, values, offset, count, blocksize, map, codes, absmax);
}

void dequantize_8bit(void* stream, const uint8_t* codes, const float* absmax, const float* map,
                     int64_t count, int64_t blocksize, float* out) {
  if (count == 0) return;
  gpu::launch({stream}, {blocks_for(count, kThreads), kThreads}, dequantize_8bit_values, codes,
              absmax, map, count, blocksize, out);
}

void mean(void* stream, const float* values, int64_t count, float* out) {
  if (count == 0) return;
  gpu::launch({stream}, {1, kThreads}, mean_of, values, count, out);
}

std::string why_unavailable() { return gpu::why_unavailable(); }

}  // namespace quanthost::bnb4::gpu_kernels

// Splits operations into ranges for the host's threads. No result depends on where a split falls.
#include "plugins/bnb4/kernels/cpu/operations.hpp"

#include <algorithm>
#include <new>
#include <quanthost/cpu/pages.hpp>

#include "plugins/bnb4/dynamic_map.hpp"
#include "plugins/bnb4/kernels/cpu/scratch.hpp"
#include "plugins/bnb4/kernels/cpu/values.hpp"
#include "plugins/bnb4/torch_mean.hpp"

namespace quanthost::bnb4::cpu {
namespace {

constexpr int64_t kBlocksAtOnce = 512;  // of the smallest blocks: enough work to be worth a thread
constexpr int64_t kRowsAtOnce = 64;     // weight rows whose nested scales are expanded together
constexpr int64_t kStagedBytesLimit = int64_t{1}
                                      << 20;  // staged input rows that stay in a core's own cache
constexpr int64_t kStreamBytes = int64_t{8} << 20;  // results larger than this bypass the caches

// Runs body(begin, end) over [0, count) on the host's threads.
template <class Body>
qh_status parallel(const qh_exec& exec, int64_t count, int64_t grain, Body& body) {
  if (count == 0) return QH_OK;
  const auto run = [](void* arg, int64_t begin, int64_t end) -> qh_status {
    try {
      (*static_cast<Body*>(arg))(begin, end);
      return QH_OK;
    } catch (const std::bad_alloc&) {
      return QH_ERR_MEMORY;
    }
  };
  return exec.parallel_for(exec.ctx, count, grain, run, &body);
}

// The short last block. bitsandbytes divides here, while full blocks are multiplied by the
// reciprocal.
void quantize_tail(const QuantizeRequest& request, int64_t begin) {
  float absmax = 0.0f;
  bool has_nan = false;
  for (int64_t i = begin; i < request.count; ++i) {
    const float value = load_value(request.source, request.type, i);
    has_nan = has_nan || value != value;
    absmax = std::max(absmax, value < 0 ? -value : value);
  }
  absmax = has_nan ? detail::f(0x7fc00000) : std::max(absmax, kSmallestAbsmax);
  request.absmax[begin / request.blocksize] = absmax;
  for (int64_t i = begin; i < request.count; i += 2) {
    const auto code = [&](int64_t element) {
      const float value = element < request.count
                              ? load_value(request.source, request.type, element) / absmax
                              : 0.0f;
      return encode_cpu(value, request.quant_type);
    };
    request.packed[i / 2] = static_cast<uint8_t>(code(i) << 4 | code(i + 1));
  }
}

// CUDA rule, block by block: always the reciprocal, a zero block gives NaN and with it code 0, NaN
// is no maximum.
void quantize_cuda_rule(const QuantizeRequest& request, int64_t block) {
  const int64_t begin = block * request.blocksize;
  const int64_t end = std::min(begin + request.blocksize, request.count);
  float absmax = 0.0f;
  for (int64_t i = begin; i < end; ++i) {
    const float value = load_value(request.source, request.type, i);
    const float magnitude = value < 0 ? -value : value;
    if (magnitude > absmax) absmax = magnitude;
  }
  request.absmax[block] = absmax;
  const float scale = 1.0f / absmax;
  for (int64_t i = begin; i < end; i += 2) {
    const auto code = [&](int64_t element) {
      const float value =
          element < end ? load_value(request.source, request.type, element) * scale : 0.0f;
      return encode_cuda(value, request.quant_type);
    };
    request.packed[i / 2] = static_cast<uint8_t>(code(i) << 4 | code(i + 1));
  }
}

// The weight with plain scales for rows [begin, end).
PackedMatrix with_scales(const KernelTable& kernels, const PackedMatrix& weight,
                         const NestedScales* nested, int64_t begin, int64_t end, Scratch& scratch) {
  if (!nested) return weight;
  PackedMatrix result = weight;
  const int64_t first = begin * weight.columns / weight.blocksize;
  const int64_t last = block_count(end * weight.columns, weight.blocksize);
  auto* scales = static_cast<float*>(scratch.get((last - first) * 4));
  kernels.expand_scales(*nested, first, last, scales);
  result.absmax = scales;
  result.first_block = first;
  return result;
}

const LinearKernel* choose_kernel(const KernelTable& kernels, const LinearRequest& request,
                                  Order* order) {
  const PackedMatrix& weight = request.weight;
  const auto fits = [&](const LinearKernel* kernel) {
    return weight.columns % weight.blocksize == 0 && weight.blocksize % kernel->group == 0;
  };
  *order = Order::kSplit;
  if (request.compute == FloatType::kBfloat16) {
    const LinearKernel* tiles = kernels.linear_bfloat16_tiles;
    if (tiles && request.batch >= tiles->min_batch && fits(tiles)) return tiles;
    if (kernels.linear_bfloat16 && fits(kernels.linear_bfloat16)) return kernels.linear_bfloat16;
  }
  if (!fits(kernels.linear_float32)) *order = Order::kNatural;
  return kernels.linear_float32;
}

// Rows of the input that are staged, and multiplied, together.
int64_t batch_at_once(const LinearKernel& kernel, int64_t columns) {
  const int64_t rows =
      kStagedBytesLimit / std::max<int64_t>(kernel.staged_bytes(16, columns) / 16, 1);
  return std::max<int64_t>(rows / 16 * 16, 128);
}

// The bias as the compute type has it, in float32; null when there is none.
const float* widened_bias(const LinearRequest& request, Scratch& memory) {
  if (!request.bias) return nullptr;
  auto* bias = static_cast<float*>(memory.get(request.weight.rows * 4));
  for (int64_t i = 0; i < request.weight.rows; ++i) {
    bias[i] = rounded_to(request.compute, load_value(request.bias, request.bias_type, i));
  }
  return bias;
}

qh_status stage_input(const qh_exec& exec, const LinearKernel& kernel, const StageArgs& args) {
  constexpr int64_t kElementsAtOnce = int64_t{1} << 16;
  const int64_t rows = kElementsAtOnce / std::max<int64_t>(args.columns, 1);
  const int64_t units = (args.batch + kernel.stage_grain - 1) / kernel.stage_grain;
  auto body = [&](int64_t begin, int64_t end) {
    kernel.stage(args, begin * kernel.stage_grain, std::min(end * kernel.stage_grain, args.batch));
  };
  return parallel(exec, units, std::max<int64_t>(rows / kernel.stage_grain, 1), body);
}

// The staged input times the weight, split by weight rows.
qh_status multiply(const KernelTable& kernels, const qh_exec& exec, const LinearKernel& kernel,
                   const NestedScales* nested, const LinearArgs& args) {
  const PackedMatrix& weight = args.weight;
  auto body = [&](int64_t begin, int64_t end) {
    thread_local Scratch scratch;
    thread_local Scratch scales;
    void* memory = scratch.get(kernel.scratch_bytes(args.batch, weight.columns));
    const int64_t last = std::min(end * kernel.row_grain, weight.rows);
    const int64_t step = nested ? kRowsAtOnce : weight.rows;
    for (int64_t row = begin * kernel.row_grain; row < last; row += step) {
      LinearArgs part = args;
      const int64_t part_end = std::min(row + step, last);
      part.weight = with_scales(kernels, weight, nested, row, part_end, scales);
      kernel.run(part, row, part_end, memory);
    }
  };
  const int64_t units = (weight.rows + kernel.row_grain - 1) / kernel.row_grain;
  return parallel(exec, units, std::max<int64_t>(kRowsAtOnce / kernel.row_grain, 1), body);
}

}  // namespace

qh_status quantize(const KernelTable& kernels, const qh_exec& exec,
                   const QuantizeRequest& request) {
  const int64_t grain = std::max<int64_t>(kBlocksAtOnce * 32 / request.blocksize, 1);
  if (request.rule == Rule::kCuda) {
    auto body = [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) quantize_cuda_rule(request, block);
    };
    return parallel(exec, block_count(request.count, request.blocksize), grain, body);
  }
  const QuantizeArgs args = {request.source,    request.type,   request.quant_type,
                             request.blocksize, request.packed, request.absmax};
  const int64_t full_blocks = request.count / request.blocksize;
  auto body = [&](int64_t begin, int64_t end) { kernels.quantize_blocks(args, begin, end); };
  quanthost::cpu::expect_large_result(request.packed, request.count / 2);
  const qh_status status = parallel(exec, full_blocks, grain, body);
  if (full_blocks * request.blocksize < request.count)
    quantize_tail(request, full_blocks * request.blocksize);
  return status;
}

qh_status dequantize(const KernelTable& kernels, const qh_exec& exec,
                     const DequantizeRequest& request) {
  const int64_t full_blocks = request.count / request.blocksize;
  const int64_t blocks = block_count(request.count, request.blocksize);
  const int64_t grain = std::max<int64_t>(kBlocksAtOnce * 32 / request.blocksize, 1);
  const bool aligned = reinterpret_cast<uintptr_t>(request.out) % 64 == 0;
  quanthost::cpu::expect_large_result(request.out, request.count * float_bytes(request.type));
  const bool stream = aligned && request.count * float_bytes(request.type) >= kStreamBytes;
  auto body = [&](int64_t begin, int64_t end) {
    thread_local Scratch scratch;
    for (int64_t first = begin; first < end; first += kNestedBlocksize) {
      const int64_t last = request.nested ? std::min(first + kNestedBlocksize, end) : end;
      // The matrix of one column has a block for every `blocksize` rows: it carries the scales'
      // range.
      const PackedMatrix scales =
          with_scales(kernels,
                      {request.packed, request.absmax, 0, request.quant_type, request.blocksize, 0,
                       request.blocksize},
                      request.nested, first, last, scratch);
      const DequantizeArgs args = {
          request.packed,    scales.absmax, scales.first_block, request.quant_type,
          request.blocksize, request.type,  request.out,        stream};
      kernels.dequantize_blocks(args, first, std::min(last, full_blocks));
      for (int64_t i = std::max(first, full_blocks) * request.blocksize;
           i < std::min(last * request.blocksize, request.count); ++i) {
        const float value = code_table(request.quant_type)[nibble_at(request.packed, i)];
        store_value(request.out, request.type, i,
                    value * args.absmax[i / request.blocksize - args.first_block]);
      }
      if (!request.nested) break;
    }
  };
  return parallel(exec, blocks, grain, body);
}

qh_status linear(const KernelTable& kernels, const qh_exec& exec, const LinearRequest& request) {
  thread_local Scratch staged_memory;
  thread_local Scratch bias_memory;
  Order order;
  const LinearKernel& kernel = *choose_kernel(kernels, request, &order);
  const PackedMatrix& weight = request.weight;
  const float* bias = widened_bias(request, bias_memory);
  const int64_t element_bytes = float_bytes(request.input_type);
  const int64_t batch_step = batch_at_once(kernel, weight.columns);
  for (int64_t first = 0; first < request.batch; first += batch_step) {
    const int64_t batch = std::min(batch_step, request.batch - first);
    void* staged = staged_memory.get(kernel.staged_bytes(batch, weight.columns));
    const void* input =
        static_cast<const char*>(request.input) + first * weight.columns * element_bytes;
    void* output = static_cast<char*>(request.output) + first * weight.rows * element_bytes;
    qh_status status = stage_input(
        exec, kernel,
        {input, request.input_type, request.compute, batch, weight.columns, order, staged});
    if (status == QH_OK) {
      status = multiply(
          kernels, exec, kernel, request.nested,
          {weight, staged, batch, order, bias, request.compute, request.input_type, output});
    }
    if (status != QH_OK) return status;
  }
  return QH_OK;
}

qh_status backward(const KernelTable& kernels, const qh_exec& exec,
                   const BackwardRequest& request) {
  thread_local Scratch grads_memory;
  thread_local Scratch scales_memory;
  const int64_t count = request.batch * request.weight.rows;
  auto* grads = static_cast<float*>(grads_memory.get(count * 4));
  for (int64_t i = 0; i < count; ++i) grads[i] = load_value(request.grad_output, request.type, i);
  const BackwardArgs args = {
      with_scales(kernels, request.weight, request.nested, 0, request.weight.rows, scales_memory),
      grads, request.batch, request.type, request.grad_input};
  auto body = [&](int64_t begin, int64_t end) {
    thread_local Scratch scratch;
    kernels.backward(args, begin * kBackwardColumns,
                     std::min(end * kBackwardColumns, request.weight.columns),
                     scratch.get(kBackwardScratchBytes));
  };
  return parallel(exec, (request.weight.columns + kBackwardColumns - 1) / kBackwardColumns, 1,
                  body);
}

void quantize_8bit(const float* values, int64_t count, int64_t blocksize, Rule rule, uint8_t* codes,
                   float* absmax) {
  const float* map = dynamic_map().data();
  static const CpuDynamicEncoder encoder(map);
  for (int64_t begin = 0; begin < count; begin += blocksize) {
    const int64_t end = std::min(begin + blocksize, count);
    float largest = 0.0f;
    for (int64_t i = begin; i < end; ++i)
      largest = std::max(largest, values[i] < 0 ? -values[i] : values[i]);
    absmax[begin / blocksize] = largest;
    const float scale = 1.0f / largest;
    for (int64_t i = begin; i < end; ++i) {
      if (rule == Rule::kCuda) {
        codes[i] = encode_dynamic_cuda(map, values[i] * scale);
      } else {
        codes[i] = largest == 0.0f ? 0 : encoder.encode(values[i] * scale);
      }
    }
  }
}

qh_status quantize_scales(const float* absmax, int64_t count, Rule rule, uint8_t* codes,
                          float* nested_absmax, float* offset) {
  *offset = torch_mean(absmax, count);
  float block[kNestedBlocksize];
  for (int64_t begin = 0; begin < count; begin += kNestedBlocksize) {
    const int64_t size = std::min(kNestedBlocksize, count - begin);
    for (int64_t i = 0; i < size; ++i) block[i] = absmax[begin + i] - *offset;
    quantize_8bit(block, size, kNestedBlocksize, rule, codes + begin,
                  nested_absmax + begin / kNestedBlocksize);
  }
  return QH_OK;
}

}  // namespace quanthost::bnb4::cpu

// Products with a packed weight. Few input rows, or float32: a group of 32 lanes a weight row. More
// rows in 16 bits: matrix instructions, with the weight as the 16-row operand decoded straight into
// registers and the input as the other.
#include "plugins/bnb4/kernels/gpu/device_codes.hpp"

namespace quanthost::bnb4::gpu_kernels {
namespace {

using gpu::bf16_t;
using gpu::half_t;

constexpr int kRowsOfBlock = kThreads / kLanes;
constexpr int kBatchOfGroup = 4;

struct Output {
  FloatType type;
  FloatType compute;
  FloatType bias_type;
  const void* bias;
  void* data;
};

QH_DEVICE float read_value(const void* data, FloatType type, int64_t index) {
  if (type == FloatType::kFloat16) return gpu::to_float(static_cast<const half_t*>(data)[index]);
  if (type == FloatType::kBfloat16) return gpu::to_float(static_cast<const bf16_t*>(data)[index]);
  return static_cast<const float*>(data)[index];
}

QH_DEVICE void write_value(void* data, FloatType type, int64_t index, float value) {
  if (type == FloatType::kFloat16) {
    static_cast<half_t*>(data)[index] = gpu::to_half(value);
  } else if (type == FloatType::kBfloat16) {
    static_cast<bf16_t*>(data)[index] = gpu::to_bf16(value);
  } else {
    static_cast<float*>(data)[index] = value;
  }
}

QH_DEVICE float round_to(FloatType type, float value) {
  if (type == FloatType::kFloat16) return gpu::to_float(gpu::to_half(value));
  return type == FloatType::kBfloat16 ? gpu::to_float(gpu::to_bf16(value)) : value;
}

// Called, not copied to each of the many places that write: inlined, it is nine tenths of what nvcc
// has to compile.
__attribute__((noinline)) QH_DEVICE void write_sum(const Output& output, int64_t row, int64_t index,
                                                   float sum) {
  float value = sum;
  if (output.bias)
    value += round_to(output.compute, read_value(output.bias, output.bias_type, row));
  write_value(output.data, output.type, index, round_to(output.compute, value));
}

QH_DEVICE void fill_table(const gpu::SharedArray<float>& table, const CodeTable& codes) {
  if (gpu::thread_in_block() < 16)
    table[gpu::thread_in_block()] = codes.value[gpu::thread_in_block()];
  gpu::block_barrier();
}

QH_DEVICE float weight_at(const Weight& weight, const gpu::SharedArray<float>& table,
                          int64_t element) {
  const unsigned byte = weight.packed[element / 2];
  const float code = table[static_cast<int>(element % 2 == 0 ? byte >> 4 : byte & 15u)];
  return code * scale_of(weight.scales, element / weight.blocksize);
}

// A group of lanes a weight row and up to four input rows; lanes take neighbouring elements.
QH_KERNEL void multiply_rows(Weight weight, CodeTable codes, const void* input, int64_t batch,
                             Output output) {
  QH_SHARED(float, table, 16);
  fill_table(table, codes);
  const int64_t row =
      static_cast<int64_t>(gpu::block_index().x) * kRowsOfBlock + gpu::thread_in_block() / kLanes;
  const int64_t first = static_cast<int64_t>(gpu::block_index().y) * kBatchOfGroup;
  if (row >= weight.rows) return;
  float sums[kBatchOfGroup] = {};
  for (int64_t k = gpu::thread_in_block() % kLanes; k < weight.columns; k += kLanes) {
    const float w = weight_at(weight, table, row * weight.columns + k);
    QH_UNROLL
    for (int b = 0; b < kBatchOfGroup; ++b) {
      if (first + b >= batch) continue;
      const float x = round_to(output.compute,
                               read_value(input, output.type, (first + b) * weight.columns + k));
      sums[b] = fmaf(x, w, sums[b]);
    }
  }
  QH_UNROLL
  for (int b = 0; b < kBatchOfGroup; ++b) {
    const float sum = gpu::group_sum<kLanes>(sums[b]);
    if (gpu::thread_in_block() % kLanes == 0 && first + b < batch) {
      write_sum(output, row, (first + b) * weight.rows + row, sum);
    }
  }
}

using Layout = gpu::MmaLayout;
constexpr int kTilesOfWarp = 4;  // of 8 input rows
constexpr int kMmaThreads = 128;
constexpr int kBatchOfWarp = kTilesOfWarp * Layout::kColumns;

// A warp: 16 weight rows by 32 input rows. C is the compute type.
template <class C>
QH_KERNEL void multiply_tiles(Weight weight, CodeTable codes, const void* input, int64_t batch,
                              Output output) {
  QH_SHARED(float, table, 16);
  fill_table(table, codes);
  const int64_t row0 =
      (static_cast<int64_t>(gpu::block_index().x) * gpu::warps_in_block() + gpu::warp_in_block()) *
      Layout::kRows;
  const int64_t batch0 = static_cast<int64_t>(gpu::block_index().y) * kBatchOfWarp;
  if (row0 >= weight.rows) return;
  gpu::FragmentC sums[kTilesOfWarp];
  QH_UNROLL
  for (int i = 0; i < kTilesOfWarp; ++i) sums[i].clear();
  for (int64_t k0 = 0; k0 < weight.columns; k0 += Layout::kDepth) {
    gpu::FragmentA<C> a;
    a.fill_pairs([&](int row, int k) {
      gpu::Vec<C, 2> pair{};
      if (row0 + row >= weight.rows) return pair;
      const int64_t element = (row0 + row) * weight.columns + k0 + k;
      const unsigned byte = weight.packed[element / 2];
      const float scale = scale_of(weight.scales, element / weight.blocksize);
      const float high = table[static_cast<int>(byte >> 4)];
      const float low = table[static_cast<int>(byte & 15u)];
      pair[0] = gpu::from_float<C>(high * scale);
      pair[1] = gpu::from_float<C>(low * scale);
      return pair;
    });
    QH_UNROLL
    for (int i = 0; i < kTilesOfWarp; ++i) {
      gpu::FragmentB<C> b;
      b.fill_pairs([&](int k, int column) {
        gpu::Vec<C, 2> pair{};
        const int64_t at = batch0 + i * Layout::kColumns + column;
        if (at >= batch) return pair;
        const int64_t element = at * weight.columns + k0 + k;
        pair[0] = gpu::from_float<C>(read_value(input, output.type, element));
        pair[1] = gpu::from_float<C>(read_value(input, output.type, element + 1));
        return pair;
      });
      gpu::mma(sums[i], a, b);
    }
  }
  QH_UNROLL
  for (int i = 0; i < kTilesOfWarp; ++i) {
    sums[i].each([&](int row, int column, float sum) {
      const int64_t at = batch0 + i * Layout::kColumns + column;
      if (row0 + row < weight.rows && at < batch)
        write_sum(output, row0 + row, at * weight.rows + row0 + row, sum);
    });
  }
}

// A thread: one column for up to four rows of the gradient; threads of a block read neighbouring
// columns.
QH_KERNEL void multiply_transposed(Weight weight, CodeTable codes, const void* grad_output,
                                   FloatType type, int64_t batch, void* grad_input) {
  QH_SHARED(float, table, 16);
  fill_table(table, codes);
  const int64_t column =
      static_cast<int64_t>(gpu::block_index().x) * kThreads + gpu::thread_in_block();
  const int64_t first = static_cast<int64_t>(gpu::block_index().y) * kBatchOfGroup;
  if (column >= weight.columns) return;
  float sums[kBatchOfGroup] = {};
  for (int64_t row = 0; row < weight.rows; ++row) {
    const float w = weight_at(weight, table, row * weight.columns + column);
    QH_UNROLL
    for (int b = 0; b < kBatchOfGroup; ++b) {
      if (first + b < batch)
        sums[b] = fmaf(read_value(grad_output, type, (first + b) * weight.rows + row), w, sums[b]);
    }
  }
  QH_UNROLL
  for (int b = 0; b < kBatchOfGroup; ++b) {
    if (first + b < batch)
      write_value(grad_input, type, (first + b) * weight.columns + column, sums[b]);
  }
}

// The grid's second dimension is limited: long batches go in several launches.
constexpr int64_t kMaxGridRows = 32768;

template <class Start>
void over_batch(int64_t batch, int64_t rows_of_block, Start start) {
  const int64_t step = kMaxGridRows * rows_of_block;
  for (int64_t first = 0; first < batch; first += step) {
    const int64_t size = batch - first < step ? batch - first : step;
    start(first, size, blocks_for(size, rows_of_block));
  }
}

}  // namespace

void forward(void* stream, const Weight& weight, const Forward& args) {
  if (args.batch == 0 || weight.rows == 0) return;
  const CodeTable codes = host_table(code_table(weight.type));
  const bool tiles = args.batch > kBatchOfGroup && args.compute != FloatType::kFloat32 &&
                     weight.columns % Layout::kDepth == 0;
  const int64_t element_bytes = float_bytes(args.type);
  over_batch(args.batch, tiles ? kBatchOfWarp : kBatchOfGroup,
             [&](int64_t first, int64_t size, unsigned grid_rows) {
               const void* input =
                   static_cast<const char*>(args.input) + first * weight.columns * element_bytes;
               const Output output = {
                   args.type, args.compute, args.bias_type, args.bias,
                   static_cast<char*>(args.output) + first * weight.rows * element_bytes};
               if (!tiles) {
                 gpu::launch({stream},
                             {{blocks_for(weight.rows, kRowsOfBlock), grid_rows}, kThreads},
                             multiply_rows, weight, codes, input, size, output);
                 return;
               }
               // Two warps of 64 lanes own half as many rows as four of 32; the grid is for the
               // former, the rest leave at once.
               const unsigned grid_columns =
                   blocks_for(weight.rows, int64_t{Layout::kRows} * kMmaThreads / 64);
               const auto kernel = args.compute == FloatType::kFloat16 ? multiply_tiles<half_t>
                                                                       : multiply_tiles<bf16_t>;
               gpu::launch({stream}, {{grid_columns, grid_rows}, kMmaThreads}, kernel, weight,
                           codes, input, size, output);
             });
}

void backward(void* stream, const Weight& weight, const void* grad_output, FloatType type,
              int64_t batch, void* grad_input) {
  if (batch == 0 || weight.columns == 0) return;
  const CodeTable codes = host_table(code_table(weight.type));
  const int64_t element_bytes = float_bytes(type);
  over_batch(batch, kBatchOfGroup, [&](int64_t first, int64_t size, unsigned grid_rows) {
    gpu::launch({stream}, {{blocks_for(weight.columns, kThreads), grid_rows}, kThreads},
                multiply_transposed, weight, codes,
                static_cast<const void*>(static_cast<const char*>(grad_output) +
                                         first * weight.rows * element_bytes),
                type, size,
                static_cast<void*>(static_cast<char*>(grad_input) +
                                   first * weight.columns * element_bytes));
  });
}

}  // namespace quanthost::bnb4::gpu_kernels

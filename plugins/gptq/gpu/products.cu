// Dense values and products of a packed weight, in the checkpoint's own layout: lanes take
// neighbouring outputs, whose words lie side by side. Few input rows, or float32: sums in float32.
// More rows in 16 bits: matrix instructions, with the dense weight rounded to their type.
#include <quanthost/kernel.hpp>

#include "gpu/values.hpp"

namespace quanthost::gptq::gpu_kernels {
namespace {

constexpr std::int64_t kSlab = 32;  // rows whose codes are whole words for every width

QH_KERNEL void gather_codes(Weight w, const std::int32_t* order, std::uint32_t* qweight,
                            std::int64_t first_slab) {
  const std::int64_t output =
      static_cast<std::int64_t>(gpu::block_index().x) * kThreads + gpu::thread_in_block();
  const std::int64_t slab = first_slab + gpu::block_index().y, row = slab * kSlab;
  if (output >= w.outputs) return;
  std::uint32_t words[9] = {};  // the last one takes what a shift moves past the slab: nothing
  for (int i = 0; i < kSlab && row + i < w.inputs; ++i) {
    const std::uint32_t code = code_at(w.qweight + output, w.outputs, order[row + i], w.bits);
    const int bit = i * w.bits;
    words[bit / 32] |= code << bit % 32;
    if (bit % 32 + w.bits > 32) words[bit / 32 + 1] |= code >> (32 - bit % 32);
  }
  const std::int64_t rows = w.inputs - row < kSlab ? w.inputs - row : kSlab;
  for (std::int64_t i = 0; i < words_for(rows, w.bits); ++i)
    qweight[(slab * w.bits + i) * w.outputs + output] = words[i];
}

QH_KERNEL void fill_dense(Weight w, Element type, void* out, std::int64_t first_slab) {
  const std::int64_t output =
      static_cast<std::int64_t>(gpu::block_index().x) * kThreads + gpu::thread_in_block();
  const std::int64_t row = (first_slab + gpu::block_index().y) * kSlab;
  if (output >= w.outputs) return;
  StoredGrid grid;
  for (std::int64_t r = row; r < row + kSlab && r < w.inputs; ++r)
    write(out, type, input_of(w, r) * w.outputs + output,
          rounded(w.scale_type, value_of(w, r, output, grid)));
}

QH_DEVICE void write_sum(const Product& p, std::int64_t token, std::int64_t output, float sum) {
  if (p.bias) sum += read(p.bias, p.bias_type, output);
  write(p.output, p.type, token * p.weight.outputs + output, sum);
}

constexpr int kTokens = 4;  // of a block
constexpr int kSlices = kThreads / kLanes;
constexpr int kChunk = 1024;  // input rows staged at a time

// A block: 32 outputs and four input rows. Its slices of 32 lanes share the slabs of each chunk of
// inputs, and their sums meet in a fixed order.
QH_KERNEL void multiply_rows(Product p, std::int64_t first_token) {
  QH_SHARED(float, inputs, kTokens* kChunk);
  QH_SHARED(float, parts, kSlices* kTokens* kLanes);
  const Weight& w = p.weight;
  const int lane = gpu::thread_in_block() % kLanes, slice = gpu::thread_in_block() / kLanes;
  const std::int64_t output = static_cast<std::int64_t>(gpu::block_index().x) * kLanes + lane;
  const std::int64_t token = first_token + gpu::block_index().y * kTokens;
  float sums[kTokens] = {}, run[kTokens] = {};
  StoredGrid grid;
  for (std::int64_t chunk = 0; chunk < w.inputs; chunk += kChunk) {
    const int count = static_cast<int>(w.inputs - chunk < kChunk ? w.inputs - chunk : kChunk);
    for (int i = gpu::thread_in_block(); i < kTokens * kChunk; i += kThreads) {
      const std::int64_t t = token + i / kChunk;
      const int k = i % kChunk;
      float value = 0;
      if (t < p.batch && k < count)
        value = read(p.input, p.type, t * w.inputs + input_of(w, chunk + k));
      inputs[i] = value;
    }
    gpu::block_barrier();
    for (int first = slice * static_cast<int>(kSlab); output < w.outputs && first < count;
         first += kSlices * static_cast<int>(kSlab)) {
      for (int k = first; k < first + kSlab && k < count; ++k) {
        const float scale = grid.scale;
        if (grid.load(w, w.g_idx[chunk + k], output)) {
          for (int t = 0; t < kTokens; ++t) {
            sums[t] = fmaf(scale, run[t], sums[t]);
            run[t] = 0;
          }
        }
        const float step = code_of(w, chunk + k, output) - grid.zero;
        for (int t = 0; t < kTokens; ++t) {
          const float x = inputs[t * kChunk + k];
          run[t] = fmaf(step, x, run[t]);
        }
      }
    }
    gpu::block_barrier();
  }
  for (int t = 0; t < kTokens; ++t)
    parts[(slice * kTokens + t) * kLanes + lane] = fmaf(grid.scale, run[t], sums[t]);
  gpu::block_barrier();
  if (slice >= kTokens || token + slice >= p.batch || output >= w.outputs) return;
  float sum = 0;
  for (int s = 0; s < kSlices; ++s) {
    const float part = parts[(s * kTokens + slice) * kLanes + lane];
    sum += part;
  }
  write_sum(p, token + slice, output, sum);
}

using Layout = gpu::MmaLayout;
constexpr int kTilesOfWarp = 4;  // of 8 input rows
constexpr int kMmaThreads = 128;
constexpr int kBatchOfWarp = kTilesOfWarp * Layout::kColumns;

// A warp: 16 outputs by 32 input rows. C is the type of the input.
template <class C>
QH_KERNEL void multiply_tiles(Product p, std::int64_t first_token) {
  const Weight& w = p.weight;
  const std::int64_t output0 =
      (static_cast<std::int64_t>(gpu::block_index().x) * gpu::warps_in_block() +
       gpu::warp_in_block()) *
      Layout::kRows;
  const std::int64_t token0 = first_token + gpu::block_index().y * kBatchOfWarp;
  if (output0 >= w.outputs) return;
  const C* x = static_cast<const C*>(p.input);
  gpu::FragmentC sums[kTilesOfWarp];
  QH_UNROLL
  for (int i = 0; i < kTilesOfWarp; ++i) sums[i].clear();
  StoredGrid grids[2];  // a lane holds elements of two outputs
  for (std::int64_t k0 = 0; k0 < w.inputs; k0 += Layout::kDepth) {
    gpu::FragmentA<C> a;
    a.fill([&](int row, int k) {
      if (output0 + row >= w.outputs || k0 + k >= w.inputs) return C{0};
      return gpu::from_float<C>(value_of(w, k0 + k, output0 + row, grids[row / 8]));
    });
    QH_UNROLL
    for (int i = 0; i < kTilesOfWarp; ++i) {
      gpu::FragmentB<C> b;
      b.fill([&](int k, int column) {
        const std::int64_t token = token0 + i * Layout::kColumns + column;
        if (token >= p.batch || k0 + k >= w.inputs) return C{0};
        return x[token * w.inputs + input_of(w, k0 + k)];
      });
      gpu::mma(sums[i], a, b);
    }
  }
  QH_UNROLL
  for (int i = 0; i < kTilesOfWarp; ++i) {
    sums[i].each([&](int row, int column, float sum) {
      const std::int64_t token = token0 + i * Layout::kColumns + column;
      if (output0 + row < w.outputs && token < p.batch) write_sum(p, token, output0 + row, sum);
    });
  }
}

// A group of lanes: one input row for up to four rows of the gradient.
QH_KERNEL void multiply_transposed(Product p, std::int64_t first_token) {
  const Weight& w = p.weight;
  const std::int64_t row =
      static_cast<std::int64_t>(gpu::block_index().x) * kSlices + gpu::thread_in_block() / kLanes;
  const std::int64_t token = first_token + gpu::block_index().y * kTokens;
  if (row >= w.inputs) return;
  const int lane = gpu::thread_in_block() % kLanes;
  float sums[kTokens] = {};
  for (std::int64_t n = lane; n < w.outputs; n += kLanes) {
    StoredGrid grid;
    const float value = rounded(w.scale_type, value_of(w, row, n, grid));
    for (int t = 0; t < kTokens; ++t)
      if (token + t < p.batch)
        sums[t] = fmaf(read(p.input, p.type, (token + t) * w.outputs + n), value, sums[t]);
  }
  for (int t = 0; t < kTokens; ++t) {
    const float sum = gpu::group_sum<kLanes>(sums[t]);
    if (lane == 0 && token + t < p.batch)
      write(p.output, p.type, (token + t) * w.inputs + input_of(w, row), sum);
  }
}

template <class Start>
void over_slabs(const Weight& w, Start start) {
  if (w.outputs == 0) return;
  in_launches((w.inputs + kSlab - 1) / kSlab, 1, [&](std::int64_t first, std::int64_t size) {
    start(
        gpu::LaunchShape{{blocks_for(w.outputs, kThreads), static_cast<unsigned>(size)}, kThreads},
        first);
  });
}

}  // namespace

void gather_rows(void* stream, const Weight& w, const std::int32_t* order, std::uint32_t* qweight) {
  over_slabs(w, [&](const gpu::LaunchShape& shape, std::int64_t first) {
    gpu::launch({stream}, shape, gather_codes, w, order, qweight, first);
  });
}

void dequantize(void* stream, const Weight& w, Element type, void* out) {
  over_slabs(w, [&](const gpu::LaunchShape& shape, std::int64_t first) {
    gpu::launch({stream}, shape, fill_dense, w, type, out, first);
  });
}

void forward(void* stream, const Product& p) {
  if (p.batch == 0 || p.weight.outputs == 0) return;
  const bool tiles = p.batch > kTokens && p.type != Element::f32;
  const std::int64_t tokens = tiles ? kBatchOfWarp : kTokens;
  in_launches(p.batch, tokens, [&](std::int64_t first, std::int64_t size) {
    const unsigned grid_rows = blocks_for(size, tokens);
    if (!tiles) {
      gpu::launch({stream}, {{blocks_for(p.weight.outputs, kLanes), grid_rows}, kThreads},
                  multiply_rows, p, first);
      return;
    }
    // Two warps of 64 lanes own half as many outputs as four of 32; the grid is for the former, the
    // rest leave at once.
    const unsigned grid_columns =
        blocks_for(p.weight.outputs, std::int64_t{Layout::kRows} * kMmaThreads / 64);
    const auto kernel =
        p.type == Element::f16 ? multiply_tiles<gpu::half_t> : multiply_tiles<gpu::bf16_t>;
    gpu::launch({stream}, {{grid_columns, grid_rows}, kMmaThreads}, kernel, p, first);
  });
}

void backward_input(void* stream, const Product& p) {
  if (p.weight.inputs == 0) return;
  in_launches(p.batch, kTokens, [&](std::int64_t first, std::int64_t size) {
    gpu::launch({stream},
                {{blocks_for(p.weight.inputs, kSlices), blocks_for(size, kTokens)}, kThreads},
                multiply_transposed, p, first);
  });
}

void to_host(void* stream, void* host, const void* device, std::uint64_t bytes) {
  gpu::copy_to_host({stream}, host, device, bytes);
  gpu::synchronize({stream});
}

void to_device(void* stream, void* device, const void* host, std::uint64_t bytes) {
  gpu::copy_to_device({stream}, device, host, bytes);
  gpu::synchronize({stream});
}

std::string why_unavailable() { return gpu::why_unavailable(); }

}  // namespace quanthost::gptq::gpu_kernels

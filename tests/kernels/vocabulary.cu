// Every word of kernel.hpp once, so that each compiler has read it for each of its targets.
#include <quanthost/kernel.hpp>

namespace gpu = quanthost::gpu;

namespace {

QH_CONSTANT float kLevels[4] = {-1, 0, 0.5f, 1};

struct Results {
  float* floats;
  unsigned* words;
  double* doubles;
};

QH_DEVICE float use_lanes(float value) {
  value += gpu::shuffle<32>(value, 3);
  value += gpu::shuffle_xor<16>(value, 5);
  value += gpu::shuffle_up<8>(value, 1);
  value += gpu::shuffle_down<4>(value, 1);
  value += gpu::to_float(gpu::shuffle(gpu::to_half(value), 0));
  value += gpu::to_float(gpu::shuffle(gpu::to_bf16(value), 0));
  value += static_cast<float>(gpu::shuffle_xor(static_cast<double>(value), 1));
  value += gpu::shuffle(gpu::Vec<float, 4>{{value, 1, 2, 3}}, 1)[2];
  gpu::warp_barrier();
  gpu::warp_barrier<8>();
  return value + gpu::group_sum(value) + gpu::group_max<8>(value) +
         gpu::group_reduce<2>(value, [](float a, float b) { return a * b; });
}

QH_DEVICE unsigned use_atomics(Results out) {
  QH_SHARED(unsigned, counter, 1);
  if (gpu::thread_in_block() == 0) counter[0] = 0;
  gpu::block_barrier();
  gpu::atomic_add(counter[0], 1u);
  gpu::atomic_add(out.floats[0], 0.5f);
  gpu::atomic_add(out.doubles[0], 0.5);
  gpu::atomic_max(out.words[0], 7u);
  gpu::atomic_min(out.words[1], 7u);
  gpu::atomic_or(out.words[2], 1u);
  gpu::memory_fence();
  unsigned old = gpu::atomic_exchange(out.words[3], 1u);
  old += gpu::atomic_compare_exchange(out.words[3], 1u, 2u);
  old += gpu::atomic_load(out.words[3]);
  gpu::block_barrier();
  const unsigned counted = counter[0];
  return old + counted;
}

template <int Bytes>
QH_DEVICE float use_async(const float* source) {
  constexpr int kEach = Bytes / 4;
  const auto tile = gpu::dynamic_shared<float>(64 * kEach);
  const int thread = gpu::thread_in_block();
  gpu::async_copy<Bytes>(tile, thread * kEach, source + thread * kEach, thread < 60);
  gpu::async_commit();
  gpu::async_wait<1>();
  gpu::async_wait();
  gpu::block_barrier();
  const float sum = tile.from(1)[0] + tile.template load<gpu::Vec<float, kEach>>(thread * kEach)[0];
  gpu::block_barrier();
  return sum;
}

template <class T>
QH_DEVICE float use_mma() {
  gpu::FragmentA<T> a;
  gpu::FragmentB<T> b;
  gpu::FragmentC c;
  c.clear();
  a.fill([](int row, int k) { return gpu::from_float<T>(static_cast<float>(row - k)); });
  b.fill([](int k, int column) { return gpu::from_float<T>(static_cast<float>(k == column)); });
  gpu::mma(c, a, b);
  float sum = 0;
  c.each(
      [&](int row, int column, float value) { sum += value * static_cast<float>(row + column); });
  return sum;
}

QH_KERNEL QH_LAUNCH_BOUNDS(64) void use_everything(const float* in, Results out) {
  const int i = gpu::global_index();
  float value = use_lanes(in[i]) + kLevels[i % 4];
  value += gpu::load_once<gpu::Vec<float, 4>>(in)[0] + gpu::load_once<gpu::Vec<float, 2>>(in)[1];
  value += gpu::load_once<float>(in) + gpu::load<gpu::Vec<float, 4>>(in)[3];
  value += use_async<4>(in) + use_async<8>(in) + use_async<16>(in);
  value += use_mma<gpu::bf16_t>() + use_mma<gpu::half_t>();
  out.words[4 + i] =
      use_atomics(out) + gpu::ballot(value > 0) + gpu::ballot<8>(value > 1) +
      static_cast<unsigned>(gpu::lane() + gpu::warp_in_block() + gpu::warps_in_block());
  gpu::store(out.floats + 4 * (i + 1), gpu::Vec<float, 4>{{value, fmaf(value, 2.0f, 1.0f), 0, 0}});
}

}  // namespace

// Returns the number of multiprocessors.
extern "C" __attribute__((visibility("default"))) int use_vocabulary(void* native, const float* in,
                                                                     float* floats, unsigned* words,
                                                                     double* doubles) {
  gpu::launch({native}, {1, 64, 64 * 16}, use_everything, in, Results{floats, words, doubles});
  gpu::synchronize({native});
  return gpu::multiprocessor_count();
}

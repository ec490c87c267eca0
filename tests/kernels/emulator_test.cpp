// What the emulator must allow and what it promises, beyond the faults of wrong_twins_test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "quanthost/kernel.hpp"
#include "quanthost/kernel/emulated_stream.h"

namespace quanthost::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

qh_emulated_stream stream_of(std::uint32_t warp_size, std::uint64_t seed = 0) {
  return {sizeof(qh_emulated_stream), warp_size, seed, 0, 0, nullptr, nullptr};
}

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const gpu::Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

// Reverses groups of 32 through shared memory with warp barriers alone.
QH_KERNEL void reverse_groups(const int* in, int* out) {
  QH_SHARED(int, tile, 128);
  const int thread = gpu::thread_in_block();
  for (int round = 0; round < 3; ++round) {
    tile[thread] = in[thread] + round;
    gpu::warp_barrier();
    out[thread] = tile[thread ^ 31];
    gpu::warp_barrier();
  }
}

TEST(Emulator, TakesWarpBarriersAsOrderWithinTheirGroup) {
  std::vector<int> in(128), out(128);
  std::iota(in.begin(), in.end(), 0);
  for (const std::uint32_t warp_size : {32u, 64u}) {
    qh_emulated_stream stream = stream_of(warp_size);
    gpu::launch({&stream}, {1, 128}, reverse_groups, in.data(), out.data());
    for (int i = 0; i < 128; ++i) EXPECT_EQ(out[i], (i ^ 31) + 2);
  }
}

QH_KERNEL void reverse_across_groups(int* out) {
  QH_SHARED(int, tile, 64);
  const int thread = gpu::thread_in_block();
  tile[thread] = 0;
  gpu::block_barrier();
  tile[thread] = thread;
  gpu::warp_barrier();
  out[thread] = tile[63 - thread];
}

TEST(Emulator, TakesAWarpBarrierForNoOrderBetweenGroupsOfOneWarp) {
  std::vector<int> out(64);
  qh_emulated_stream stream = stream_of(64);
  EXPECT_THAT(message_of([&] {
                gpu::launch({&stream}, {1, 64}, reverse_across_groups, out.data());
              }),
              HasSubstr("race: "));
}

// Lanes of a narrow group may exchange while the others of their warp wait elsewhere.
QH_KERNEL void exchange_in_one_quarter(int* out) {
  int value = gpu::thread_in_block();
  if (value % 32 < 8) value = gpu::shuffle_xor<8>(value, 7);
  out[gpu::thread_in_block()] = gpu::shuffle_xor(value, 8);
}

TEST(Emulator, LetsNarrowGroupsExchangeInDivergentCode) {
  for (const std::uint32_t warp_size : {32u, 64u}) {
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      std::vector<int> out(64);
      qh_emulated_stream stream = stream_of(warp_size, seed);
      gpu::launch({&stream}, {1, 64}, exchange_in_one_quarter, out.data());
      EXPECT_EQ(out[8], 7);
      EXPECT_EQ(out[0], 8);
      EXPECT_EQ(out[47], 32);  // thread 39, which had swapped with thread 32
    }
  }
}

QH_KERNEL void collectives(std::uint32_t* out) {
  const int thread = gpu::thread_in_block();
  std::uint32_t* mine = out + thread * 6;
  const auto value = static_cast<std::uint32_t>(thread * 3);
  mine[0] = gpu::shuffle<16>(value, 5);
  mine[1] = gpu::shuffle_up<16>(value, 2);
  mine[2] = gpu::shuffle_down<16>(value, 3);
  mine[3] = gpu::ballot<16>(thread % 3 == 0);
  mine[4] = gpu::group_sum<16>(value);
  mine[5] = gpu::group_max<8>(value);
}

TEST(Emulator, GivesEachCollectiveItsResultWithinAlignedGroups) {
  for (const std::uint32_t warp_size : {32u, 64u}) {
    std::vector<std::uint32_t> out(128 * 6);
    qh_emulated_stream stream = stream_of(warp_size);
    gpu::launch({&stream}, {1, 128}, collectives, out.data());
    for (int thread = 0; thread < 128; ++thread) {
      const std::uint32_t* got = out.data() + thread * 6;
      const int group = thread / 16 * 16;
      const int in_group = thread % 16;
      EXPECT_EQ(got[0], (group + 5) * 3u);
      EXPECT_EQ(got[1], (in_group >= 2 ? thread - 2 : thread) * 3u);
      EXPECT_EQ(got[2], (in_group < 13 ? thread + 3 : thread) * 3u);
      std::uint32_t ballot = 0, sum = 0;
      for (int i = 0; i < 16; ++i) {
        ballot |= ((group + i) % 3 == 0 ? 1u : 0u) << i;
        sum += (group + i) * 3u;
      }
      EXPECT_EQ(got[3], ballot);
      EXPECT_EQ(got[4], sum);
      EXPECT_EQ(got[5], (thread / 8 * 8 + 7) * 3u);
    }
  }
}

QH_KERNEL void note_lanes(int* order, unsigned* next) {
  order[gpu::atomic_add(*next, 1u)] = gpu::thread_in_block();
}

TEST(Emulator, OrdersLanesByTheSeedAlone) {
  const auto order_of = [](std::uint64_t seed) {
    std::vector<int> order(64);
    unsigned next = 0;
    qh_emulated_stream stream = stream_of(32, seed);
    gpu::launch({&stream}, {1, 64}, note_lanes, order.data(), &next);
    return order;
  };
  EXPECT_EQ(order_of(3), order_of(3));
  EXPECT_NE(order_of(3), order_of(4));
}

QH_KERNEL void mark_blocks(unsigned* blocks) {
  const gpu::Size3 at = gpu::block_index();
  const gpu::Size3 size = gpu::grid_size();
  if (gpu::thread_in_block() == 0)
    gpu::atomic_add(blocks[(at.z * size.y + at.y) * size.x + at.x], 1u);
}

TEST(Emulator, RunsEveryBlockOfAGridOnce) {
  std::vector<unsigned> blocks(5 * 4 * 3);
  qh_emulated_stream stream = stream_of(32, 11);
  gpu::launch({&stream}, {{5, 4, 3}, {8, 4, 2}}, mark_blocks, blocks.data());
  EXPECT_THAT(blocks, Each(1u));
}

TEST(Emulator, RunsItsBlocksOnTheParallelForItIsGiven) {
  std::atomic<std::uint64_t> asked{0};
  qh_emulated_stream stream = stream_of(32);
  stream.max_threads = 3;
  stream.context = &asked;
  stream.parallel_for = [](void* context, std::uint64_t count, void (*body)(void*, std::uint64_t),
                           void* argument) {
    static_cast<std::atomic<std::uint64_t>*>(context)->fetch_add(count);
    for (std::uint64_t i = 0; i < count; ++i) body(argument, i);
  };
  std::vector<unsigned> blocks(20);
  gpu::launch({&stream}, {20, 64}, mark_blocks, blocks.data());
  EXPECT_EQ(asked, 3u);
  EXPECT_THAT(blocks, Each(1u));
}

// The last block to finish adds up what all have left in global memory.
QH_KERNEL void sum_by_the_last_block(unsigned* partial, unsigned* arrived, unsigned* total) {
  if (gpu::thread_in_block() != 0) return;
  partial[gpu::block_index().x] = gpu::block_index().x + 1;
  gpu::memory_fence();
  if (gpu::atomic_add(*arrived, 1u) + 1 != gpu::grid_size().x) return;
  gpu::memory_fence();
  for (unsigned i = 0; i < gpu::grid_size().x; ++i) *total += partial[i];
}

TEST(Emulator, RunsTheLastArriverPattern) {
  std::vector<unsigned> partial(30);
  unsigned arrived = 0, total = 0;
  gpu::launch({}, {30, 64}, sum_by_the_last_block, partial.data(), &arrived, &total);
  EXPECT_EQ(total, 30u * 31u / 2u);
}

QH_KERNEL void wait_for_thread_zero(unsigned* flag, int* out) {
  const int thread = gpu::thread_in_block();
  if (thread == 0) gpu::atomic_exchange(*flag, 7u);
  while (gpu::atomic_load(*flag) == 0) {
  }
  out[thread] = static_cast<int>(gpu::atomic_load(*flag));
}

TEST(Emulator, LetsThreadsSpinUntilAnotherHasActed) {
  unsigned flag = 0;
  std::vector<int> out(64);
  gpu::launch({}, {1, 64}, wait_for_thread_zero, &flag, out.data());
  EXPECT_THAT(out, Each(7));
}

struct CountsItself {
  explicit CountsItself(std::atomic<int>* alive) : alive_(alive) { ++*alive_; }
  ~CountsItself() { --*alive_; }
  std::atomic<int>* alive_;
};

QH_KERNEL void throw_in_one_thread(std::atomic<int>* alive) {
  const CountsItself object(alive);
  gpu::block_barrier();
  if (gpu::thread_in_block() == 5) throw std::runtime_error("the fifth thread is unwell");
  gpu::block_barrier();
}

TEST(Emulator, UnwindsEveryThreadWhenOneThrows) {
  std::atomic<int> alive{0};
  EXPECT_THAT(message_of([&] {
                gpu::launch({}, {4, 64}, throw_in_one_thread, &alive);
              }),
              HasSubstr("thread (5,0,0) of block"));
  EXPECT_EQ(alive, 0);
}

QH_KERNEL void copy_with_zeros(const float* in, float* out, int count) {
  QH_SHARED(float, tile, 128);
  const int thread = gpu::thread_in_block();
  gpu::async_copy<16>(tile, thread * 4, in + thread * 4, thread * 4 < count);
  gpu::async_commit();
  gpu::async_wait();
  gpu::block_barrier();
  for (int i = thread; i < 128; i += 32) out[i] = tile[i];
}

TEST(Emulator, FillsWithZerosWhereAnAsyncCopyIsNotValid) {
  std::vector<float> in(64, 2.0f), out(128, 9.0f);
  gpu::launch({}, {1, 32}, copy_with_zeros, in.data(), out.data(), 64);
  EXPECT_THAT(std::vector<float>(out.begin(), out.begin() + 64), Each(2.0f));
  EXPECT_THAT(std::vector<float>(out.begin() + 64, out.end()), Each(0.0f));
}

TEST(Emulator, RefusesShapesNoDeviceTakes) {
  std::vector<unsigned> blocks(4);
  const auto launch = [&](const gpu::LaunchShape& shape) {
    return message_of([&] { gpu::launch({}, shape, mark_blocks, blocks.data()); });
  };
  EXPECT_THAT(launch({1, 2048}), HasSubstr("more than 1024 threads"));
  EXPECT_THAT(launch({0, 32}), HasSubstr("at least one in each direction"));
  EXPECT_THAT(launch({{1, 70000}, 32}), HasSubstr("passes the limit"));
  EXPECT_THAT(launch({1, 32, 1u << 20}), HasSubstr("1048576 bytes of dynamic shared memory"));
  qh_emulated_stream stream = stream_of(48);
  EXPECT_THAT(message_of([&] {
                gpu::launch({&stream}, {1, 32}, mark_blocks, blocks.data());
              }),
              HasSubstr("32 or 64 lanes, not 48"));
}

TEST(Emulator, RefusesDeviceFunctionsOutsideAKernel) {
  EXPECT_THAT(message_of([] { gpu::block_barrier(); }), HasSubstr("outside a kernel"));
}

}  // namespace
}  // namespace quanthost::testing

// What goes wrong in kernels, one small kernel a mistake. On a GPU these are undefined: they hang,
// give wrong numbers, or happen to work. The emulator names thread, block and line. The line of a
// mistake is marked with its kernel's name.
#pragma once

#include <stdexcept>

#include "quanthost/kernel.hpp"

namespace wrong {

namespace gpu = quanthost::gpu;

inline constexpr int kThreads = 128;

QH_KERNEL void writes_past_the_end(float*) {
  QH_SHARED(float, tile, kThreads);
  tile[gpu::thread_in_block() + 1] = 0;  // writes_past_the_end
}

QH_KERNEL void reads_before_the_start(float* out) {
  QH_SHARED(float, tile, kThreads);
  const int thread = gpu::thread_in_block();
  tile[thread] = 1;
  gpu::block_barrier();
  out[thread] = tile[thread - 1];  // reads_before_the_start
}

QH_KERNEL void takes_more_dynamic_memory_than_launched(float* out) {
  const auto tile =
      gpu::dynamic_shared<float>(kThreads);  // takes_more_dynamic_memory_than_launched
  tile[gpu::thread_in_block()] = 0;
  out[gpu::thread_in_block()] = 0;
}

QH_KERNEL void loads_a_vector_between_its_steps(float* out) {
  QH_SHARED(float, tile, 2 * kThreads);
  const int thread = gpu::thread_in_block();
  tile[thread] = 1;
  tile[thread + kThreads] = 1;
  gpu::block_barrier();
  out[thread] = tile.load<gpu::Vec<float, 4>>(thread + 1)[0];  // loads_a_vector_between_its_steps
}

QH_KERNEL void loads_a_misaligned_global_vector(float* out) {
  gpu::store(out, gpu::load<gpu::Vec<float, 2>>(out + 1));  // loads_a_misaligned_global_vector
}

// The barrier between the writes and the reads of others is missing.
QH_KERNEL void reads_what_another_thread_writes(float* out) {
  QH_SHARED(float, tile, kThreads);
  const int thread = gpu::thread_in_block();
  tile[thread] = 0;
  gpu::block_barrier();
  tile[thread] = 1;                           // reads_what_another_thread_writes
  out[thread] = tile[kThreads - 1 - thread];  // reads_what_another_thread_writes
}

// As above with shuffles in between: they exchange registers, they order no memory.
QH_KERNEL void takes_a_shuffle_for_a_barrier(float* out) {
  QH_SHARED(float, tile, kThreads);
  const int thread = gpu::thread_in_block();
  tile[thread] = 0;
  gpu::block_barrier();
  tile[thread] = 1;  // takes_a_shuffle_for_a_barrier
  out[thread] = gpu::shuffle_xor(1.0f, 1);
  out[thread] = tile[thread ^ 1];  // takes_a_shuffle_for_a_barrier
}

// A second round overwrites what slower threads still read from the first.
QH_KERNEL void overwrites_what_others_still_read(float* out) {
  QH_SHARED(float, tile, kThreads);
  const int thread = gpu::thread_in_block();
  for (int round = 0; round < 2; ++round) {
    tile[thread] = 1;  // overwrites_what_others_still_read
    gpu::block_barrier();
    out[thread] = tile[kThreads - 1 - thread];  // overwrites_what_others_still_read
  }
}

QH_KERNEL void writes_one_element_from_all_threads(float*) {
  QH_SHARED(int, winner, 1);
  winner[0] = gpu::thread_in_block();  // writes_one_element_from_all_threads
}

QH_KERNEL void reads_a_counter_without_a_barrier(float* out) {
  QH_SHARED(unsigned, counter, 1);
  const int thread = gpu::thread_in_block();
  if (thread == 0) counter[0] = 0;
  gpu::block_barrier();
  gpu::atomic_add(counter[0], 1u);                  // reads_a_counter_without_a_barrier
  out[thread] = static_cast<unsigned>(counter[0]);  // reads_a_counter_without_a_barrier
}

QH_KERNEL void counts_in_bins_nobody_cleared(float*) {
  QH_SHARED(unsigned, bins, 4);
  gpu::atomic_add(bins[gpu::thread_in_block() % 4], 1u);  // counts_in_bins_nobody_cleared
}

QH_KERNEL void waits_at_a_barrier_in_one_branch(float* out) {
  if (gpu::thread_in_block() < 32) gpu::block_barrier();  // waits_at_a_barrier_in_one_branch
  out[gpu::thread_in_block()] = 0;
}

QH_KERNEL void waits_at_two_barriers_at_once(float*) {
  if (gpu::thread_in_block() % 2 == 0) {
    gpu::block_barrier();  // waits_at_two_barriers_at_once
  } else {
    gpu::block_barrier();  // waits_at_two_barriers_at_once
  }
}

QH_KERNEL void shuffles_after_half_the_lanes_left(float* out) {
  if (gpu::lane() >= 16) return;
  out[gpu::thread_in_block()] = gpu::shuffle_xor(1.0f, 1);  // shuffles_after_half_the_lanes_left
}

QH_KERNEL void shuffles_in_both_branches(float* out) {
  float value = 1;
  if (gpu::lane() % 2 == 0) {
    value = gpu::shuffle_xor(value, 1);  // shuffles_in_both_branches
  } else {
    value = gpu::shuffle_xor(value, 1);  // shuffles_in_both_branches
  }
  out[gpu::thread_in_block()] = value;
}

QH_KERNEL void shuffles_with_lanes_that_wait_elsewhere(float* out) {
  float value = 1;
  if (gpu::lane() < 16)
    value = gpu::shuffle_xor(value, 1);  // shuffles_with_lanes_that_wait_elsewhere
  gpu::block_barrier();                  // shuffles_with_lanes_that_wait_elsewhere
  out[gpu::thread_in_block()] = value;
}

QH_KERNEL void multiplies_with_one_lane_missing(float*) {
  if (gpu::lane() == 0) return;
  gpu::FragmentA<gpu::half_t> a{};
  gpu::FragmentB<gpu::half_t> b{};
  gpu::FragmentC c{};
  gpu::mma(c, a, b);  // multiplies_with_one_lane_missing
}

QH_KERNEL void shuffles_in_a_block_of_broken_warps(float* out) {  // launched with 40 threads
  out[gpu::thread_in_block()] = gpu::shuffle(1.0f, 0);  // shuffles_in_a_block_of_broken_warps
}

QH_KERNEL void reads_an_async_copy_before_it_landed(const float* in, float* out) {
  QH_SHARED(float, tile, kThreads);
  const int thread = gpu::thread_in_block();
  gpu::async_copy<4>(tile, thread, in + thread);
  gpu::async_commit();
  gpu::block_barrier();
  out[thread] = tile[thread];  // reads_an_async_copy_before_it_landed
}

// Two groups are under way; waiting until one is left lands the first alone.
QH_KERNEL void waits_for_the_wrong_group(const float* in, float* out) {
  QH_SHARED(float, tile, 2 * kThreads);
  const int thread = gpu::thread_in_block();
  for (int half = 0; half < 2; ++half) {
    gpu::async_copy<4>(tile, half * kThreads + thread, in + thread);
    gpu::async_commit();
  }
  gpu::async_wait<1>();
  gpu::block_barrier();
  out[thread] = tile[kThreads + thread];  // waits_for_the_wrong_group
  gpu::async_wait();
}

QH_KERNEL void ends_with_a_copy_under_way(const float* in, float*) {
  QH_SHARED(float, tile, kThreads);
  const int thread = gpu::thread_in_block();
  gpu::async_copy<4>(tile, thread, in + thread);  // ends_with_a_copy_under_way
  gpu::async_commit();
}

// A wait is for the thread's own copies; the others' need a barrier after it.
QH_KERNEL void reads_anothers_copy_without_a_barrier(const float* in, float* out) {
  QH_SHARED(float, tile, kThreads);
  const int thread = gpu::thread_in_block();
  gpu::async_copy<4>(tile, thread, in + thread);
  gpu::async_commit();
  gpu::block_barrier();
  gpu::async_wait();
  gpu::warp_barrier();  // within the group all copies have landed, not beyond it
  if (thread >= 32) out[thread] = tile[thread - 32];  // reads_anothers_copy_without_a_barrier
}

QH_KERNEL void spins_on_a_flag_nobody_sets(unsigned* flag) {
  while (gpu::atomic_load(*flag) == 0) {  // spins_on_a_flag_nobody_sets
  }
}

}  // namespace wrong

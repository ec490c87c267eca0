// What the emulator's library does for the functions of emulated.hpp. Kernel authors do not call
// these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>

#include "quanthost/kernel/launch.hpp"

namespace quanthost::gpu {

// Where a call stands. A helper that takes a Site and hands it on gets its callers named, not
// itself.
using Site = std::source_location;

}  // namespace quanthost::gpu

namespace quanthost::gpu::emulated {

// The thread that is running, as CUDA numbers it.
struct Self {
  Size3 thread, block, block_size, grid_size;
  unsigned linear;     // of the thread in its block
  unsigned lane;       // of the thread in its warp
  unsigned warp_size;  // 32 or 64
};
const Self& self();

// Runs `body` once for every thread of the grid. Throws gpu::Error with thread, block and source
// line of the first fault.
void run(Stream stream, const LaunchShape& shape, const std::function<void()>& body);

// -- collectives

void block_barrier(const Site& site);
void warp_barrier(int width,
                  const Site& site);  // orders the memory of the aligned group of `width` lanes

inline constexpr std::size_t kPayloadBytes = 32;

// Every lane of the aligned group of `width` lanes hands in `bytes` bytes; returns when all have,
// with the slots of the group, kPayloadBytes apart. They stay until this lane calls
// leave_exchange().
const std::byte* exchange(const char* operation, int width, const void* payload, std::size_t bytes,
                          const Site& site);
void leave_exchange();

// -- shared memory

// A piece of the block's shared memory as one array sees it.
struct SharedSpan {
  std::byte* data;     // first byte
  std::size_t offset;  // of data in the block's shared memory
  std::size_t bytes;
  const char* name;  // static storage
};

// The block's array that belongs to `key`; the first thread to come allocates it.
SharedSpan static_shared(const void* key, std::size_t bytes, std::size_t alignment,
                         const char* name);
SharedSpan dynamic_shared(std::size_t offset, std::size_t bytes, std::size_t alignment,
                          const Site& site);

enum class Access : std::uint8_t { kRead, kWrite, kAtomic };

// Throws a fault when [at, at + bytes) is outside the span, misaligned, raced for, never written
// (reads), or still the target of an async copy.
void check_shared(const SharedSpan& span, std::int64_t at, std::size_t bytes, std::size_t alignment,
                  Access access, const Site& site);
void check_global(const void* address, std::size_t alignment, const Site& site);

// -- async copies

// The bytes land when the issuing thread waits for them; until then the target holds poison. A null
// source means zeros.
void async_copy(const SharedSpan& span, std::int64_t at, const void* source, std::size_t bytes,
                const Site& site);
void async_commit();
void async_wait(int groups_left);

// Lets other threads run first: called by the atomics that a thread may spin on until another has
// acted.
void spin(const Site& site);

}  // namespace quanthost::gpu::emulated

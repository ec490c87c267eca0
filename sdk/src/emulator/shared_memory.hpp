// The shared memory of one block: poisoned bytes, and for each byte who touched it last and whether
// that is in order.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "quanthost/kernel/emulated/runtime.hpp"

namespace quanthost::gpu::emulated {

inline constexpr std::size_t kMaxWarpSize = 64;

// The time of one thread, for deciding whether an earlier access happens before a later one. Block
// barriers advance the epoch of all; a warp barrier makes each lane know how far the others of its
// group had come.
struct Clock {
  std::array<std::uint32_t, kMaxWarpSize>
      seen{};  // seen[l]: how far lane l of my warp is known to me
};

struct Toucher {
  const Self* thread;
  Clock* clock;
};

class SharedMemory {
 public:
  // Readies the memory for a block: everything before is forgotten, every byte is poison.
  void reset(std::size_t dynamic_bytes, std::size_t threads, const Size3& block_size);
  void next_epoch() { ++epoch_; }  // all threads have met at a barrier

  SharedSpan static_array(const void* key, std::size_t bytes, std::size_t alignment,
                          const char* name);
  SharedSpan dynamic_array(const Self& thread, std::size_t offset, std::size_t bytes,
                           std::size_t alignment, const Site& site);

  void check(const Toucher& toucher, const SharedSpan& span, std::int64_t at, std::size_t bytes,
             std::size_t alignment, Access access, const Site& site);

  void begin_copy(const Toucher& toucher, const SharedSpan& span, std::int64_t at,
                  const void* source, std::size_t bytes, const Site& site);
  void commit_copies(unsigned thread);
  void land_copies(const Toucher& toucher, int groups_left);
  void refuse_copies_under_way(const Self& thread) const;  // called when a thread ends

 private:
  struct Touch {
    Site site;
    std::uint32_t epoch = 0;  // 0: never
    std::uint32_t clock = 0;
    std::uint16_t thread = 0;  // linear index
    std::uint16_t lane = 0;
    bool atomic = false;
  };
  struct Byte {
    Touch write;
    std::array<Touch, 2>
        reads;  // of two different threads: enough to find a reader other than the writer
    std::uint32_t written_epoch = 0;  // when the byte last got a value
    std::uint32_t copy_epoch = 0;     // when an async copy to it began that has not landed
    Site copy_site;
  };
  struct Copy {
    std::size_t offset;
    std::byte* target;
    const void* source;  // null: zeros
    std::size_t bytes;
    const char* array;
    Site site;
  };
  struct Copies {  // of one thread
    std::vector<Copy> open;
    std::deque<std::vector<Copy>> committed;
  };
  struct StaticArray {
    const void* key;
    SharedSpan span;
  };

  bool in_order(const Touch& before, const Toucher& now) const;
  void refuse_races(const Toucher& toucher, const SharedSpan& span, std::int64_t at,
                    std::size_t bytes, const Byte& byte, Access access, const Site& site) const;
  void note(const Toucher& toucher, Byte& byte, Access access, const Site& site) const;
  SharedSpan take(std::size_t bytes, std::size_t alignment, const char* name);

  std::vector<std::byte> bytes_;
  std::vector<Byte> shadow_;
  std::vector<Copies> copies_;
  std::vector<StaticArray> static_arrays_;
  SharedSpan dynamic_{};
  std::size_t dynamic_bytes_ = 0;
  std::size_t used_ = 0;
  std::uint32_t epoch_ =
      1;  // never goes back, so that the shadow need not be cleared between blocks
  std::uint32_t first_epoch_ = 1;  // of this block
  Size3 block_size_;
};

}  // namespace quanthost::gpu::emulated

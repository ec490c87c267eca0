// Runs one block: a fiber for every thread, in an order drawn from a seed, meeting at barriers and
// exchanges.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "fault.hpp"
#include "fiber.hpp"
#include "shared_memory.hpp"

namespace quanthost::gpu::emulated {

struct BlockRun {
  LaunchShape shape;
  Size3 index;  // of the block
  unsigned warp_size;
  std::uint64_t seed;
  const std::function<void()>* kernel;
};

// Kept between blocks and launches for its stacks and buffers. One operating system thread at a
// time.
class Block {
 public:
  // Returns the first fault, if there was one. Every thread of the block has ended or been unwound.
  std::optional<std::string> run(const BlockRun& run);

  // The calls below come from inside the kernel.
  static Block& current();
  const Self& self() const { return running_->self; }
  SharedMemory& shared() { return shared_; }
  Toucher toucher() { return {&running_->self, &running_->clock}; }
  void block_barrier(const Site& site);
  void warp_barrier(int width, const Site& site);
  const std::byte* exchange(const char* operation, int width, const void* payload,
                            std::size_t bytes, const Site& site);
  void leave_exchange();
  void spin(const Site& site);

 private:
  // Where the lanes of one aligned group meet.
  struct Meeting {
    const char* operation = nullptr;
    Site site;
    unsigned width = 0;
    unsigned first_thread = 0;
    unsigned arrived = 0;
    unsigned to_leave = 0;
    alignas(16) std::byte payload[kMaxWarpSize * kPayloadBytes];
  };
  enum class State : std::uint8_t { kReady, kWaiting, kEnded };
  struct Thread {
    Fiber fiber;
    Self self;
    Clock clock;
    State state = State::kEnded;
    const char* waits_in = nullptr;  // the operation, while waiting
    Site site;
    Meeting* meeting = nullptr;
  };

  void prepare(const BlockRun& run);
  void body(Thread& thread);
  void schedule();
  bool run_ready_threads();
  void resume(Thread& thread);
  void unwind();
  void wait(const char* operation, const Site& site);
  Meeting& meet(const char* operation, unsigned width, const Site& site);
  void complete(Meeting& meeting);
  void refuse_missing_lanes(const char* operation, unsigned first, unsigned width,
                            const Site& site) const;
  void on_end(const Thread& thread);
  std::string deadlock() const;
  std::string spinning() const;
  std::string waiting_threads() const;

  const BlockRun* run_ = nullptr;
  std::vector<std::unique_ptr<Thread>> threads_;
  unsigned thread_count_ = 0;
  unsigned live_ = 0;
  unsigned at_barrier_ = 0;
  Site barrier_site_;
  std::vector<Meeting*> open_;  // those not complete
  std::vector<std::unique_ptr<Meeting>> meetings_;
  std::vector<Meeting*> free_;
  std::vector<unsigned> warp_order_, lane_order_;
  std::vector<unsigned> ready_in_warp_;
  SharedMemory shared_;
  Thread* running_ = nullptr;
  bool moved_ = false;  // something other than spinning happened in this pass
  std::optional<std::string> fault_;
  std::mt19937_64 random_;
};

}  // namespace quanthost::gpu::emulated

#include "block.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <map>
#include <numeric>
#include <utility>

namespace quanthost::gpu::emulated {
namespace {

thread_local Block* current_block = nullptr;

// Passes over the block in which threads only spun before they are said to spin for ever. Another
// block may be what they wait for, so this is generous.
constexpr int kSpinPasses = 50000;

}  // namespace

Block& Block::current() {
  if (current_block == nullptr)
    throw Error("a device function of kernel.hpp was called outside a kernel");
  return *current_block;
}

std::optional<std::string> Block::run(const BlockRun& run) {
  run_ = &run;
  fault_.reset();
  Block* const outer = std::exchange(current_block, this);
  try {
    prepare(run);
    schedule();
  } catch (const Fault& fault) {
    fault_ = fault.message;
  }
  current_block = outer;
  return std::move(fault_);
}

void Block::prepare(const BlockRun& run) {
  const Size3& size = run.shape.block;
  thread_count_ = size.count();
  live_ = thread_count_;
  at_barrier_ = 0;
  open_.clear();
  free_.clear();
  for (const auto& meeting : meetings_) free_.push_back(meeting.get());
  random_.seed(run.seed);
  shared_.reset(run.shape.dynamic_shared_bytes, thread_count_, size);

  while (threads_.size() < thread_count_) threads_.push_back(std::make_unique<Thread>());
  const unsigned warps = (thread_count_ + run.warp_size - 1) / run.warp_size;
  ready_in_warp_.assign(warps, 0);
  for (unsigned i = 0; i < thread_count_; ++i) {
    Thread& thread = *threads_[i];
    thread.self = {{i % size.x, i / size.x % size.y, i / (size.x * size.y)},
                   run.index,
                   size,
                   run.shape.grid,
                   i,
                   i % run.warp_size,
                   run.warp_size};
    thread.clock = {};
    thread.clock.seen[thread.self.lane] = 1;
    thread.state = State::kReady;
    thread.meeting = nullptr;
    ++ready_in_warp_[i / run.warp_size];
    thread.fiber.start([this, &thread] { body(thread); });
  }
  warp_order_.resize(warps);
  std::iota(warp_order_.begin(), warp_order_.end(), 0u);
  lane_order_.resize(run.warp_size);
  std::iota(lane_order_.begin(), lane_order_.end(), 0u);
}

void Block::body(Thread& thread) {
  try {
    if (!fault_) {
      (*run_->kernel)();
      on_end(thread);
    }
  } catch (const Fault& fault) {
    if (!fault_) fault_ = fault.message;
  } catch (const Abandoned&) {
  } catch (const std::exception& e) {
    if (!fault_) {
      fault_ = "thread " + to_text(thread.self.thread) + " of block " + to_text(thread.self.block) +
               ": the kernel threw: " + e.what();
    }
  } catch (...) {
    if (!fault_) fault_ = "the kernel threw something that is no std::exception";
  }
  thread.state = State::kEnded;
  --ready_in_warp_[thread.self.linear / run_->warp_size];
  --live_;
  moved_ = true;
}

void Block::schedule() {
  int idle_passes = 0;
  while (live_ > 0) {
    moved_ = false;
    const bool ran = run_ready_threads();
    if (!fault_ && !ran) fault_ = deadlock();
    idle_passes = moved_ ? 0 : idle_passes + 1;
    if (!fault_ && idle_passes > kSpinPasses) fault_ = spinning();
    if (fault_) return unwind();
  }
}

// One pass: every thread that can run does, until it waits. Results must not depend on the order.
bool Block::run_ready_threads() {
  bool ran = false;
  std::shuffle(warp_order_.begin(), warp_order_.end(), random_);
  std::shuffle(lane_order_.begin(), lane_order_.end(), random_);
  for (const unsigned warp : warp_order_) {
    if (ready_in_warp_[warp] == 0) continue;
    for (const unsigned lane : lane_order_) {
      const unsigned i = warp * run_->warp_size + lane;
      if (i >= thread_count_ || threads_[i]->state != State::kReady) continue;
      resume(*threads_[i]);
      ran = true;
      if (fault_) return true;
    }
  }
  return ran;
}

void Block::resume(Thread& thread) {
  running_ = &thread;
  thread.fiber.resume();
  running_ = nullptr;
}

// After a fault: every other thread leaves its kernel by an exception, so that its objects are
// destroyed.
void Block::unwind() {
  for (unsigned i = 0; i < thread_count_; ++i) {
    while (!threads_[i]->fiber.ended()) resume(*threads_[i]);
  }
}

void Block::wait(const char* operation, const Site& site) {
  Thread& thread = *running_;
  thread.waits_in = operation;
  thread.site = site;
  thread.fiber.suspend();
  if (fault_) throw Abandoned{};
}

void Block::block_barrier(const Site& site) {
  Thread& thread = *running_;
  moved_ = true;
  if (at_barrier_ > 0 &&
      (barrier_site_.line() != site.line() || barrier_site_.column() != site.column() ||
       std::strcmp(barrier_site_.file_name(), site.file_name()) != 0)) {
    throw Fault{
        describe(thread.self, site,
                 "divergent barrier: other threads of the block wait in block_barrier() at " +
                     to_text(barrier_site_))};
  }
  if (live_ < thread_count_) {
    throw Fault{
        describe(thread.self, site,
                 "divergent barrier: " + std::to_string(thread_count_ - live_) +
                     " threads of the block have ended and will never reach block_barrier()")};
  }
  barrier_site_ = site;
  if (++at_barrier_ == thread_count_) {
    at_barrier_ = 0;
    shared_.next_epoch();
    for (unsigned i = 0; i < thread_count_; ++i) threads_[i]->state = State::kReady;
    for (unsigned warp = 0; warp < ready_in_warp_.size(); ++warp) {
      ready_in_warp_[warp] = std::min(run_->warp_size, thread_count_ - warp * run_->warp_size);
    }
    return;
  }
  thread.state = State::kWaiting;
  --ready_in_warp_[thread.self.linear / run_->warp_size];
  wait("block_barrier", site);
}

void Block::refuse_missing_lanes(const char* operation, unsigned first, unsigned width,
                                 const Site& site) const {
  for (unsigned i = first; i < first + width; ++i) {
    const bool exists = i < thread_count_;
    if (exists && threads_[i]->state != State::kEnded) continue;
    throw Fault{describe(
        running_->self, site,
        std::string("divergent collective: ") + operation + " needs all " + std::to_string(width) +
            " lanes of the group, but thread " + std::to_string(i) + " of the block " +
            (exists ? "has ended"
                    : "does not exist: the block has " + std::to_string(thread_count_)))};
  }
}

Block::Meeting& Block::meet(const char* operation, unsigned width, const Site& site) {
  Thread& thread = *running_;
  moved_ = true;
  if (width > run_->warp_size) {
    throw Fault{describe(thread.self, site,
                         std::string(operation) + " is asked for a group of " +
                             std::to_string(width) + " lanes in a warp of " +
                             std::to_string(run_->warp_size))};
  }
  const unsigned first = thread.self.linear - thread.self.lane % width;
  const auto same_group = [&](const Meeting* m) {
    return m->first_thread == first && m->width == width;
  };
  auto found = std::find_if(open_.begin(), open_.end(), same_group);
  if (found == open_.end()) {
    refuse_missing_lanes(operation, first, width, site);
    if (free_.empty()) {
      meetings_.push_back(std::make_unique<Meeting>());
      free_.push_back(meetings_.back().get());
    }
    Meeting& fresh = *free_.back();
    free_.pop_back();
    fresh.operation = operation;
    fresh.site = site;
    fresh.width = width;
    fresh.first_thread = first;
    fresh.arrived = 0;
    open_.push_back(&fresh);
    found = open_.end() - 1;
  }
  Meeting& meeting = **found;
  if (std::strcmp(meeting.operation, operation) != 0 || meeting.site.line() != site.line() ||
      meeting.site.column() != site.column() ||
      std::strcmp(meeting.site.file_name(), site.file_name()) != 0) {
    throw Fault{describe(thread.self, site,
                         std::string("divergent collective: this lane is in ") + operation +
                             ", while other lanes of its group wait in " + meeting.operation +
                             " at " + to_text(meeting.site))};
  }
  ++meeting.arrived;
  thread.meeting = &meeting;
  return meeting;
}

void Block::complete(Meeting& meeting) {
  open_.erase(std::find(open_.begin(), open_.end(), &meeting));
  meeting.to_leave = meeting.width;
  for (unsigned i = meeting.first_thread; i < meeting.first_thread + meeting.width; ++i) {
    Thread& thread = *threads_[i];
    if (thread.state == State::kWaiting) {
      thread.state = State::kReady;
      ++ready_in_warp_[i / run_->warp_size];
    }
  }
}

const std::byte* Block::exchange(const char* operation, int width, const void* payload,
                                 std::size_t bytes, const Site& site) {
  Thread& thread = *running_;
  Meeting& meeting = meet(operation, static_cast<unsigned>(width), site);
  std::memcpy(meeting.payload + (thread.self.linear - meeting.first_thread) * kPayloadBytes,
              payload, bytes);
  if (meeting.arrived == meeting.width) {
    complete(meeting);
  } else {
    thread.state = State::kWaiting;
    --ready_in_warp_[thread.self.linear / run_->warp_size];
    wait(operation, site);
  }
  return meeting.payload;
}

void Block::leave_exchange() {
  Meeting& meeting = *std::exchange(running_->meeting, nullptr);
  if (--meeting.to_leave == 0) free_.push_back(&meeting);
}

void Block::warp_barrier(int width, const Site& site) {
  const Thread& thread = *running_;
  const auto lanes = static_cast<unsigned>(width);
  const unsigned first = thread.self.linear - thread.self.lane % lanes;
  Meeting& meeting = meet("warp_barrier", lanes, site);
  if (meeting.arrived == lanes) {
    Clock joined{};
    for (unsigned i = first; i < first + lanes; ++i) {
      for (std::size_t l = 0; l < joined.seen.size(); ++l) {
        joined.seen[l] = std::max(joined.seen[l], threads_[i]->clock.seen[l]);
      }
    }
    for (unsigned i = first; i < first + lanes; ++i) {
      threads_[i]->clock = joined;
      ++threads_[i]->clock.seen[threads_[i]->self.lane];
    }
    complete(meeting);
  } else {
    running_->state = State::kWaiting;
    --ready_in_warp_[thread.self.linear / run_->warp_size];
    wait("warp_barrier", site);
  }
  leave_exchange();
}

void Block::spin(const Site& site) {
  wait("atomic_load", site);  // still ready: the next pass resumes it
}

void Block::on_end(const Thread& thread) {
  shared_.refuse_copies_under_way(thread.self);
  const auto ended = [&](const char* operation, const Site& site) {
    throw Fault{"thread " + to_text(thread.self.thread) + " of block " +
                to_text(thread.self.block) +
                ": divergent collective: the thread ended while others wait for it in " +
                operation + " at " + to_text(site)};
  };
  if (at_barrier_ > 0) ended("block_barrier", barrier_site_);
  for (const Meeting* meeting : open_) {
    const unsigned i = thread.self.linear;
    if (i >= meeting->first_thread && i < meeting->first_thread + meeting->width) {
      ended(meeting->operation, meeting->site);
    }
  }
}

std::string Block::waiting_threads() const {
  std::map<std::string, std::vector<unsigned>> by_place;
  for (unsigned i = 0; i < thread_count_; ++i) {
    const Thread& thread = *threads_[i];
    if (thread.state != State::kEnded)
      by_place[std::string(thread.waits_in) + " at " + to_text(thread.site)].push_back(i);
  }
  std::string text;
  for (const auto& [place, threads] : by_place) {
    text += (text.empty() ? "" : "; ") + std::to_string(threads.size()) +
            " threads (the first is " + to_text(threads_[threads.front()]->self.thread) + ") in " +
            place;
  }
  return text;
}

std::string Block::deadlock() const {
  return "block " + to_text(run_->index) + ": deadlock: no thread can go on: " + waiting_threads();
}

std::string Block::spinning() const {
  return "block " + to_text(run_->index) +
         ": deadlock: threads spin on a value that nobody changes (blocks may not wait for each "
         "other): " +
         waiting_threads();
}

}  // namespace quanthost::gpu::emulated

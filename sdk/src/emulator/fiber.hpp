// One fiber of the emulator: Boost.Context's switch, on a stack with a guard page, made known to
// the sanitizers.
#pragma once

#include <boost/context/fiber.hpp>
#include <cstddef>
#include <functional>

namespace quanthost::gpu::emulated {

// A guard page lies below it.
class Stack {
 public:
  Stack();
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  std::byte* bottom() const { return bottom_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* mapping_;
  std::byte* bottom_;
  std::size_t bytes_;
};

// Runs functions on a stack of its own, one after the other, in turns with the thread that resumes
// it. `body` must not throw, and has to end before the next one is started or the fiber destroyed.
class Fiber {
 public:
  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void start(std::function<void()> body);
  void resume();   // from outside: runs the body until it suspends or ends
  void suspend();  // from inside: goes back to resume()
  bool ended() const { return ended_; }

 private:
  class Inside;  // while it lives, ThreadSanitizer takes what happens for the fiber's

  void run_bodies(boost::context::fiber&& outside);
  void before_switch(bool leaving_for_good, const void* bottom, std::size_t bytes);
  void after_switch();

  Stack stack_;
  std::function<void()> body_;
  boost::context::fiber inside_;
  boost::context::fiber outside_;
  const void* outside_bottom_ = nullptr;  // of the resuming thread's stack, as the sanitizer told
  std::size_t outside_bytes_ = 0;
  void* shadow_stack_ = nullptr;  // the sanitizer's, of the side that was left
  void* tsan_fiber_ = nullptr;
  bool ended_ = true;
  bool leaving_ = false;
};

}  // namespace quanthost::gpu::emulated

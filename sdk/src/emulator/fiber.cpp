#include "fiber.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace quanthost::gpu::emulated {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kStackBytes = 256 * 1024;  // instrumented frames are larger
#else
constexpr std::size_t kStackBytes = 128 * 1024;
#endif

// Lends a Stack to Boost.Context, which gives it back when the fiber has ended.
struct Lend {
  const Stack* stack;
  boost::context::stack_context allocate() const {
    boost::context::stack_context context;
    context.size = stack->bytes();
    context.sp = stack->bottom() + stack->bytes();
    return context;
  }
  void deallocate(boost::context::stack_context&) const noexcept {}
};

}  // namespace

Stack::Stack() : bytes_(kStackBytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* mapping = mmap(nullptr, page + bytes_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mprotect(mapping, page, PROT_NONE);
  mapping_ = static_cast<std::byte*>(mapping);
  bottom_ = mapping_ + page;
}

Stack::~Stack() { munmap(mapping_, static_cast<std::size_t>(bottom_ - mapping_) + bytes_); }

// ThreadSanitizer counts the calls that a side has entered and not left. Both switches that it is
// told of stand in one function of the outside, around all that the inside enters and leaves; hence
// inline.
#if defined(__SANITIZE_THREAD__)
class Fiber::Inside {
 public:
  [[gnu::always_inline]] explicit Inside(void* fiber) : outside_(__tsan_get_current_fiber()) {
    __tsan_switch_to_fiber(fiber, 0);
  }
  [[gnu::always_inline]] ~Inside() { __tsan_switch_to_fiber(outside_, 0); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  void* outside_;
};
#endif

Fiber::~Fiber() {
  leaving_ = true;
  if (inside_) resume();
#if defined(__SANITIZE_THREAD__)
  if (tsan_fiber_ != nullptr) __tsan_destroy_fiber(tsan_fiber_);
#endif
}

void Fiber::start(std::function<void()> body) {
  body_ = std::move(body);
  ended_ = false;
  if (inside_) return;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_.bottom(), stack_.bytes());
#endif
#if defined(__SANITIZE_THREAD__)
  tsan_fiber_ = __tsan_create_fiber(0);
  const Inside inside(tsan_fiber_);
#endif
  inside_ = boost::context::fiber(std::allocator_arg, Lend{&stack_},
                                  [this](boost::context::fiber&& outside) {
                                    run_bodies(std::move(outside));
                                    return std::move(outside_);
                                  });
}

void Fiber::resume() {
#if defined(__SANITIZE_THREAD__)
  const Inside inside(tsan_fiber_);
#endif
  void* mine = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&mine, stack_.bottom(), stack_.bytes());
#endif
  inside_ = std::move(inside_).resume();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(mine, nullptr, nullptr);
#endif
  static_cast<void>(mine);
}

void Fiber::suspend() {
  before_switch(false, outside_bottom_, outside_bytes_);
  outside_ = std::move(outside_).resume();
  after_switch();
}

// Between two bodies it waits suspended: to make a context anew for each thread of each block would
// cost more than many bodies, and under ThreadSanitizer most of the time.
void Fiber::run_bodies(boost::context::fiber&& outside) {
  after_switch();
  outside_ = std::move(outside);
  while (!leaving_) {
    body_();
    body_ = nullptr;
    ended_ = true;
    suspend();
  }
  before_switch(true, outside_bottom_, outside_bytes_);
}

// A null place for the shadow stack tells the sanitizer that this side ends here.
void Fiber::before_switch([[maybe_unused]] bool leaving_for_good,
                          [[maybe_unused]] const void* bottom, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(leaving_for_good ? nullptr : &shadow_stack_, bottom, bytes);
#endif
}

void Fiber::after_switch() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(shadow_stack_, &outside_bottom_, &outside_bytes_);
#endif
}

}  // namespace quanthost::gpu::emulated

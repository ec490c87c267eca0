// Scratch memory that a thread keeps from call to call: a fresh allocation of this size would be
// mapped, faulted in page by page and unmapped again by every forward.
#ifndef QUANTHOST_PLUGINS_BNB4_KERNELS_CPU_SCRATCH_HPP
#define QUANTHOST_PLUGINS_BNB4_KERNELS_CPU_SCRATCH_HPP

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace quanthost::bnb4::cpu {

class Scratch {
 public:
  // At least `bytes`, aligned to 64; valid until the next call. Throws std::bad_alloc.
  void* get(int64_t bytes) {
    if (bytes > capacity_) {
      memory_.reset();
      capacity_ = 0;
      const auto rounded = static_cast<size_t>((bytes + 4095) / 4096 * 4096);
      memory_.reset(std::aligned_alloc(4096, rounded));
      if (!memory_) throw std::bad_alloc();
      capacity_ = static_cast<int64_t>(rounded);
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
  int64_t capacity_ = 0;
};

}  // namespace quanthost::bnb4::cpu

#endif

// What a launch needs on every target: sizes, a stream, and the error it may end in.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

#include "quanthost/kernel/target.hpp"

namespace quanthost::gpu {

struct Size3 {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;

  QH_HOST_DEVICE constexpr Size3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1)
      : x(x_), y(y_), z(z_) {}
  QH_HOST_DEVICE constexpr unsigned count() const { return x * y * z; }
};

struct LaunchShape {
  Size3 grid;   // blocks
  Size3 block;  // threads of a block: a multiple of 64 keeps every warp whole on every device
  std::size_t dynamic_shared_bytes = 0;
};

// A stream of the device a library is built for: cudaStream_t, hipStream_t, or qh_emulated_stream*
// (<quanthost/kernel/emulated_stream.h>). Null is the default stream. Borrowed.
struct Stream {
  void* native = nullptr;
};

// A launch, copy or query that failed. `code` is the runtime's own number, 0 for a fault found by
// the emulator.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, int code = 0)
      : std::runtime_error(message), code_(code) {}
  int code() const noexcept { return code_; }

 private:
  int code_;
};

}  // namespace quanthost::gpu

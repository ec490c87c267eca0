// Memory that tensors are read into which do not stay: it is filled again and again, since pages
// that the system hands out anew cost more than reading into them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

namespace quanthost {

class ReadBuffers {
 public:
  ReadBuffers();
  ~ReadBuffers();  // tensors that are still in use keep their memory
  ReadBuffers(const ReadBuffers&) = delete;
  ReadBuffers& operator=(const ReadBuffers&) = delete;

  // Uninitialized and contiguous; its memory comes back here with its last user. What waits here is
  // freed before the memory in use and the waiting exceed `most_bytes`. Throws kMemory. [any
  // thread]
  at::Tensor take(at::IntArrayRef shape, at::ScalarType type, std::uint64_t most_bytes);

 private:
  class Shared;  // outlives this where a tensor does
  std::shared_ptr<Shared> shared_;
};

}  // namespace quanthost

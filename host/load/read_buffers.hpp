// Memory that tensors are read into which do not stay: it is filled again and again, since pages
// that the system hands out anew cost more than reading into them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

namespace quanthost {

class ReadBuffers {
 public:
  // A range of addresses; its pages come when they are first used, the lowest ones first. Nothing
  // can be taken where the system refuses it.
  explicit ReadBuffers(std::uint64_t bytes);
  ~ReadBuffers();  // what is still in use stays; all other pages go back to the system
  ReadBuffers(const ReadBuffers&) = delete;
  ReadBuffers& operator=(const ReadBuffers&) = delete;

  std::uint64_t bytes() const;
  // A part of the range that nobody uses, aligned to 4096 bytes; nothing where there is none of
  // this size. Comes back with its last owner. [any thread]
  std::shared_ptr<void> take(std::uint64_t bytes);

 private:
  class Range;  // outlives this where a part is in use
  std::shared_ptr<Range> range_;
};

// Uninitialized and contiguous; owns the memory.
at::Tensor tensor_in(std::shared_ptr<void> memory, at::IntArrayRef shape, at::ScalarType type);

}  // namespace quanthost

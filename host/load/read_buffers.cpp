#include "host/load/read_buffers.hpp"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <deque>
#include <mutex>

#include "host/load/host_memory.hpp"

namespace quanthost {

class ReadBuffers::Shared {
 public:
  // Memory of this size that waits, or nothing after it was made room for.
  at::Tensor take(std::uint64_t bytes, std::uint64_t most_bytes) {
    std::deque<at::Tensor> freed;  // after the lock
    std::lock_guard lock(mutex_);
    used_bytes_ += bytes;
    const auto same = std::find_if(idle_.begin(), idle_.end(),
                                   [&](const at::Tensor& t) { return t.nbytes() == bytes; });
    if (same != idle_.end()) {
      at::Tensor found = std::move(*same);
      idle_.erase(same);
      idle_bytes_ -= bytes;
      return found;
    }
    while (!idle_.empty() && used_bytes_ + idle_bytes_ > most_bytes) {  // the oldest first
      idle_bytes_ -= idle_.front().nbytes();
      freed.push_back(std::move(idle_.front()));
      idle_.pop_front();
    }
    return {};
  }

  void give_back(at::Tensor memory) {
    std::lock_guard lock(mutex_);
    used_bytes_ -= memory.nbytes();
    if (closed_) return;
    idle_bytes_ += memory.nbytes();
    idle_.push_back(std::move(memory));
  }

  void was_not_made(std::uint64_t bytes) {
    std::lock_guard lock(mutex_);
    used_bytes_ -= bytes;
  }

  void close() {
    std::deque<at::Tensor> freed;
    std::lock_guard lock(mutex_);
    closed_ = true;
    freed.swap(idle_);
  }

 private:
  std::mutex mutex_;
  std::deque<at::Tensor> idle_;  // bytes, the longest waiting one first
  std::uint64_t used_bytes_ = 0, idle_bytes_ = 0;
  bool closed_ = false;
};

ReadBuffers::ReadBuffers() : shared_(std::make_shared<Shared>()) {}
ReadBuffers::~ReadBuffers() { shared_->close(); }

at::Tensor ReadBuffers::take(at::IntArrayRef shape, at::ScalarType type, std::uint64_t most_bytes) {
  const std::int64_t bytes =
      c10::multiply_integers(shape) * static_cast<std::int64_t>(c10::elementSize(type));
  const auto wanted = static_cast<std::uint64_t>(bytes);
  if (wanted < kLargeTensorBytes) return empty_host_tensor(shape, type);
  at::Tensor memory = shared_->take(wanted, most_bytes);
  if (!memory.defined()) {
    try {
      memory = empty_host_tensor({bytes}, at::kByte);
    } catch (...) {
      shared_->was_not_made(wanted);
      throw;
    }
  }
  void* const data = memory.mutable_data_ptr();
  return at::from_blob(
      data, shape, [shared = shared_, memory](void*) { shared->give_back(memory); },
      at::TensorOptions().dtype(type));
}

}  // namespace quanthost

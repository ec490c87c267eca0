#include "host/load/read_buffers.hpp"

#include <ATen/ops/from_blob.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "host/load/host_memory.hpp"

namespace quanthost {
namespace {

constexpr std::uint64_t kHugePageBytes = std::uint64_t{2} << 20;

}  // namespace

class ReadBuffers::Range {
 public:
  explicit Range(std::uint64_t bytes) {
    if (bytes == 0) return;
    bytes = rounded_up(bytes, kHugePageBytes);
    mapped_bytes_ = bytes + kHugePageBytes;
    mapped_ = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped_ == MAP_FAILED) return;
    const auto address = reinterpret_cast<std::uintptr_t>(mapped_);
    begin_ = static_cast<std::byte*>(mapped_) + (rounded_up(address, kHugePageBytes) - address);
    madvise(begin_, bytes, MADV_HUGEPAGE);  // a kernel without huge pages only loses speed
    bytes_ = bytes;
    free_.emplace(0, bytes);
  }
  ~Range() {
    if (bytes_ > 0) munmap(mapped_, mapped_bytes_);
  }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;

  std::uint64_t bytes() const { return bytes_; }

  void* take(std::uint64_t bytes) {
    std::lock_guard lock(mutex_);
    const auto found =
        std::find_if(free_.begin(), free_.end(), [&](const auto& f) { return f.second >= bytes; });
    if (found == free_.end()) return nullptr;
    const auto [offset, size] = *found;
    free_.erase(found);
    if (size > bytes) free_.emplace(offset + bytes, size - bytes);
    return begin_ + offset;
  }

  void give_back(void* memory, std::uint64_t bytes) {
    std::lock_guard lock(mutex_);
    if (closed_) madvise(memory, bytes, MADV_DONTNEED);
    auto offset = static_cast<std::uint64_t>(static_cast<std::byte*>(memory) - begin_);
    auto after = free_.lower_bound(offset);
    if (after != free_.end() && after->first == offset + bytes) {
      bytes += after->second;
      after = free_.erase(after);
    }
    if (after != free_.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second == offset) {
        before->second += bytes;
        return;
      }
    }
    free_.emplace(offset, bytes);
  }

  // Pages that nobody uses are not kept from now on.
  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    for (const auto& [offset, bytes] : free_) madvise(begin_ + offset, bytes, MADV_DONTNEED);
  }

 private:
  void* mapped_ = nullptr;
  std::byte* begin_ = nullptr;
  std::uint64_t mapped_bytes_ = 0, bytes_ = 0;
  std::mutex mutex_;
  std::map<std::uint64_t, std::uint64_t> free_;  // offset and bytes; neighbours are joined
  bool closed_ = false;
};

ReadBuffers::ReadBuffers(std::uint64_t bytes) : range_(std::make_shared<Range>(bytes)) {}
ReadBuffers::~ReadBuffers() { range_->close(); }

std::uint64_t ReadBuffers::bytes() const { return range_->bytes(); }

std::shared_ptr<void> ReadBuffers::take(std::uint64_t bytes) {
  bytes = rounded_up(std::max<std::uint64_t>(bytes, 1), kPageBytes);
  void* const memory = range_->take(bytes);
  if (!memory) return nullptr;
  return {memory, [range = range_, bytes](void* used) { range->give_back(used, bytes); }};
}

at::Tensor tensor_in(std::shared_ptr<void> memory, at::IntArrayRef shape, at::ScalarType type) {
  void* const data = memory.get();
  return at::from_blob(
      data, shape, [memory = std::move(memory)](void*) mutable { memory.reset(); },
      at::TensorOptions().dtype(type));
}

}  // namespace quanthost

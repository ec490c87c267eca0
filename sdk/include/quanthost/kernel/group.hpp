// Built from the functions that every target offers: positions, reductions over a group of lanes,
// device buffers.
#pragma once

#include <cstddef>

namespace quanthost::gpu {

QH_DEVICE int warp_in_block() { return thread_in_block() / warp_size(); }
QH_DEVICE int threads_in_block() { return static_cast<int>(block_size().count()); }
QH_DEVICE int warps_in_block() { return (threads_in_block() + warp_size() - 1) / warp_size(); }

// Of a one-dimensional launch.
QH_DEVICE int global_index() {
  return static_cast<int>(block_index().x * block_size().x + thread_index().x);
}

// All lanes of the aligned group of `Width` get the result. The order of the operations is the same
// on every target.
template <int Width = 32, class T, class Combine>
QH_DEVICE T group_reduce(T value, Combine combine, Site site = Site::current()) {
  QH_UNROLL
  for (int mask = Width / 2; mask > 0; mask /= 2)
    value = combine(value, shuffle_xor<Width>(value, mask, site));
  return value;
}
template <int Width = 32, class T>
QH_DEVICE T group_sum(T value, Site site = Site::current()) {
  return group_reduce<Width>(
      value, [](T a, T b) { return a + b; }, site);
}
template <int Width = 32, class T>
QH_DEVICE T group_max(T value, Site site = Site::current()) {
  return group_reduce<Width>(
      value, [](T a, T b) { return a < b ? b : a; }, site);
}

// Device memory of `count` elements, freed with the object. For programs of their own, examples and
// tests: inside a plugin memory comes from the host's allocator.
template <class T>
class Buffer {
 public:
  explicit Buffer(std::size_t count)
      : data_(static_cast<T*>(allocate(count * sizeof(T)))), count_(count) {}
  Buffer(Stream stream, const T* host, std::size_t count) : Buffer(count) {
    copy_to_device(stream, data_, host, count * sizeof(T));
  }
  ~Buffer() { deallocate(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* data() const { return data_; }
  std::size_t count() const { return count_; }
  void read(Stream stream, T* host) const {
    copy_to_host(stream, host, data_, count_ * sizeof(T));
    synchronize(stream);
  }

 private:
  T* data_;
  std::size_t count_;
};

}  // namespace quanthost::gpu

// The emulator's half of kernel.hpp: a block runs as fibers on one operating system thread, and
// what a GPU would leave undefined is an error that names thread, block and source line. cuda.hpp
// and hip.hpp offer the same functions.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>

#include "quanthost/kernel/emulated/runtime.hpp"
#include "quanthost/kernel/emulated/shared.hpp"
#include "quanthost/kernel/float16.hpp"

namespace quanthost::gpu {

// -- where am I

inline Size3 thread_index() { return emulated::self().thread; }
inline Size3 block_index() { return emulated::self().block; }
inline Size3 block_size() { return emulated::self().block_size; }
inline Size3 grid_size() { return emulated::self().grid_size; }
inline int warp_size() { return static_cast<int>(emulated::self().warp_size); }
inline int thread_in_block() { return static_cast<int>(emulated::self().linear); }
inline int lane() { return static_cast<int>(emulated::self().lane); }

// -- barriers and fences

inline void block_barrier(Site site = Site::current()) { emulated::block_barrier(site); }

template <int Width = 32>
void warp_barrier(Site site = Site::current()) {
  emulated::warp_barrier(Width, site);
}

inline void memory_fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

// -- exchange between lanes

namespace emulated {

// One value from every lane of a group, readable while this object lives.
template <class T>
class Exchange {
 public:
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kPayloadBytes);

  Exchange(const char* operation, int width, const T& mine, const Site& site)
      : slots_(exchange(operation, width, &mine, sizeof(T), site)) {}
  ~Exchange() { leave_exchange(); }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  T operator[](int lane) const {
    T value;
    std::memcpy(&value, slots_ + static_cast<std::size_t>(lane) * kPayloadBytes, sizeof(T));
    return value;
  }

 private:
  const std::byte* slots_;
};

}  // namespace emulated

template <int Width = 32, class T>
T shuffle(T value, int source, Site site = Site::current()) {
  return emulated::Exchange<T>("shuffle", Width, value, site)[source & (Width - 1)];
}

template <int Width = 32, class T>
T shuffle_xor(T value, int mask, Site site = Site::current()) {
  const int from = (lane() & (Width - 1)) ^ mask;
  const emulated::Exchange<T> all("shuffle_xor", Width, value, site);
  return from < Width ? all[from] : value;
}

template <int Width = 32, class T>
T shuffle_down(T value, int delta, Site site = Site::current()) {
  const int from = (lane() & (Width - 1)) + delta;
  const emulated::Exchange<T> all("shuffle_down", Width, value, site);
  return from < Width ? all[from] : value;
}

template <int Width = 32, class T>
T shuffle_up(T value, int delta, Site site = Site::current()) {
  const int from = (lane() & (Width - 1)) - delta;
  const emulated::Exchange<T> all("shuffle_up", Width, value, site);
  return from >= 0 ? all[from] : value;
}

template <int Width = 32>
std::uint32_t ballot(bool predicate, Site site = Site::current()) {
  const emulated::Exchange<std::uint8_t> all("ballot", Width, predicate, site);
  std::uint32_t bits = 0;
  for (int i = 0; i < Width; ++i) bits |= static_cast<std::uint32_t>(all[i]) << i;
  return bits;
}

// -- atomics: relaxed, device-wide, on global memory or on an element of a shared array

namespace emulated {
template <class T>
T& atomic_target(T& global, const Site& site) {
  check_global(&global, alignof(T), site);
  return global;
}
template <class T>
T& atomic_target(SharedReference<T>&& shared, const Site&) {
  return std::move(shared).atomic_target();
}

// T from T& or SharedReference<T>.
template <class Target>
struct Element {
  using Type = Target;
};
template <class T>
struct Element<SharedReference<T>> {
  using Type = T;
};
template <class Target>
using ElementOf = typename Element<std::remove_cvref_t<Target>>::Type;

template <class T, class Update>
T atomic_update(T& target, Update update) {
  const std::atomic_ref<T> cell(target);
  T old = cell.load(std::memory_order_relaxed);
  while (!cell.compare_exchange_weak(old, update(old), std::memory_order_acq_rel)) {
  }
  return old;
}
}  // namespace emulated

template <class Target, class T = emulated::ElementOf<Target>>
T atomic_add(Target&& target, std::type_identity_t<T> value, Site site = Site::current()) {
  return emulated::atomic_update(emulated::atomic_target(std::forward<Target>(target), site),
                                 [value](T old) { return static_cast<T>(old + value); });
}
template <class Target, class T = emulated::ElementOf<Target>>
T atomic_max(Target&& target, std::type_identity_t<T> value, Site site = Site::current()) {
  return emulated::atomic_update(emulated::atomic_target(std::forward<Target>(target), site),
                                 [value](T old) { return old < value ? value : old; });
}
template <class Target, class T = emulated::ElementOf<Target>>
T atomic_min(Target&& target, std::type_identity_t<T> value, Site site = Site::current()) {
  return emulated::atomic_update(emulated::atomic_target(std::forward<Target>(target), site),
                                 [value](T old) { return value < old ? value : old; });
}
template <class Target, class T = emulated::ElementOf<Target>>
T atomic_or(Target&& target, std::type_identity_t<T> value, Site site = Site::current()) {
  return emulated::atomic_update(emulated::atomic_target(std::forward<Target>(target), site),
                                 [value](T old) { return static_cast<T>(old | value); });
}
template <class Target, class T = emulated::ElementOf<Target>>
T atomic_exchange(Target&& target, std::type_identity_t<T> value, Site site = Site::current()) {
  emulated::spin(site);
  return emulated::atomic_update(emulated::atomic_target(std::forward<Target>(target), site),
                                 [value](T) { return value; });
}
// Returns the old value; the store happened when it equals `expected`.
template <class Target, class T = emulated::ElementOf<Target>>
T atomic_compare_exchange(Target&& target, std::type_identity_t<T> expected,
                          std::type_identity_t<T> desired, Site site = Site::current()) {
  emulated::spin(site);
  const std::atomic_ref<T> cell(emulated::atomic_target(std::forward<Target>(target), site));
  cell.compare_exchange_strong(expected, desired, std::memory_order_acq_rel);
  return expected;
}
// Reads past every cache, so that a thread may wait for another's atomic.
template <class Target, class T = emulated::ElementOf<Target>>
T atomic_load(Target&& target, Site site = Site::current()) {
  emulated::spin(site);
  return std::atomic_ref<T>(emulated::atomic_target(std::forward<Target>(target), site))
      .load(std::memory_order_acquire);
}

// -- global memory

// One access of sizeof(V) bytes; the address is aligned to it.
template <class V, class T>
V load(const T* address, Site site = Site::current()) {
  emulated::check_global(address, alignof(V), site);
  V value;
  std::memcpy(&value, address, sizeof(V));
  return value;
}
// As load(), for bytes that this kernel reads once: the cache need not keep them.
template <class V, class T>
V load_once(const T* address, Site site = Site::current()) {
  return load<V>(address, site);
}
template <class V, class T>
void store(T* address, const V& value, Site site = Site::current()) {
  emulated::check_global(address, alignof(V), site);
  std::memcpy(address, &value, sizeof(V));
}

// -- async copies: global to shared, in groups, first committed first landed

// `Bytes` is 4, 8 or 16; both addresses are aligned to it. When `valid` is false zeros are written,
// `source` is not read.
template <int Bytes, class T>
void async_copy(const SharedArray<T>& target, std::int64_t index, const T* source,
                bool valid = true, Site site = Site::current()) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  if (valid) emulated::check_global(source, Bytes, site);
  emulated::async_copy(target.span(), index * static_cast<std::int64_t>(sizeof(T)),
                       valid ? source : nullptr, Bytes, site);
}
inline void async_commit() { emulated::async_commit(); }
// Waits until at most `Groups` of this thread's committed groups are under way. Other threads see
// the bytes after a barrier that follows.
template <int Groups = 0>
void async_wait() {
  emulated::async_wait(Groups);
}

// -- the host's side

inline constexpr const char* kTargetName = "emulated";

template <class... Parameters, class... Arguments>
void launch(Stream stream, const LaunchShape& shape, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  const std::tuple<Parameters...> bound(std::forward<Arguments>(arguments)...);
  emulated::run(stream, shape, [&] { std::apply(kernel, bound); });
}

// Empty when the target's device can be used, else the first cause why not.
inline std::string why_unavailable() { return {}; }

inline void* allocate(std::size_t bytes) {
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
inline void deallocate(void* memory) noexcept { std::free(memory); }
inline void copy_to_device(Stream, void* target, const void* source, std::size_t bytes) {
  if (bytes != 0) std::memcpy(target, source, bytes);
}
inline void copy_to_host(Stream, void* target, const void* source, std::size_t bytes) {
  if (bytes != 0) std::memcpy(target, source, bytes);
}
inline void fill_bytes(Stream, void* target, int byte, std::size_t bytes) {
  if (bytes != 0) std::memset(target, byte, bytes);
}
inline void synchronize(Stream) {}
inline int multiprocessor_count() {
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace quanthost::gpu

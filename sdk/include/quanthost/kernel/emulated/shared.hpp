// Shared memory of the emulator: every access is checked and knows its source line.
#pragma once

#include <atomic>
#include <cstring>
#include <type_traits>

#include "quanthost/kernel/emulated/runtime.hpp"
#include "quanthost/kernel/vector.hpp"

namespace quanthost::gpu {

// An index that remembers where it was written, because operator[] takes no second argument.
struct SharedIndex {
  template <class I, class = std::enable_if_t<std::is_integral_v<I> || std::is_enum_v<I>>>
  SharedIndex(I index, Site where = Site::current())
      : value(static_cast<std::int64_t>(index)), site(where) {}

  std::int64_t value;
  Site site;
};

// What tile[i] is: reads when converted to T, writes when assigned. Write the type when reading it,
// `float x = tile[i];`, never `auto`: on the GPU it is a plain reference.
template <class T>
class SharedReference {
 public:
  SharedReference(const emulated::SharedSpan& span, std::int64_t at, const Site& site)
      : span_(span), at_(at), site_(site) {}
  SharedReference(const SharedReference&) = delete;

  operator T() && { return read(); }
  T operator=(T value) && {
    write(value);
    return value;
  }
  T operator=(SharedReference&& other) && {
    const T value = other.read();
    write(value);
    return value;
  }
  T operator+=(T value) && { return update(static_cast<T>(read() + value)); }
  T operator-=(T value) && { return update(static_cast<T>(read() - value)); }
  T operator*=(T value) && { return update(static_cast<T>(read() * value)); }
  T operator|=(T value) && { return update(static_cast<T>(read() | value)); }
  T operator&=(T value) && { return update(static_cast<T>(read() & value)); }
  T operator^=(T value) && { return update(static_cast<T>(read() ^ value)); }

  // The element itself, for an atomic operation.
  T& atomic_target() && {
    emulated::check_shared(span_, at_, sizeof(T), alignof(T), emulated::Access::kAtomic, site_);
    return *reinterpret_cast<T*>(span_.data + at_);
  }

 private:
  T read() const {
    emulated::check_shared(span_, at_, sizeof(T), alignof(T), emulated::Access::kRead, site_);
    T value;
    std::memcpy(&value, span_.data + at_, sizeof(T));
    return value;
  }
  void write(const T& value) const {
    emulated::check_shared(span_, at_, sizeof(T), alignof(T), emulated::Access::kWrite, site_);
    std::memcpy(span_.data + at_, &value, sizeof(T));
  }
  T update(T value) const {
    write(value);
    return value;
  }

  const emulated::SharedSpan& span_;
  std::int64_t at_;
  Site site_;
};

// An array in the block's shared memory. Copies see the same memory.
template <class T>
class SharedArray {
 public:
  static_assert(std::is_trivially_copyable_v<T>);

  explicit SharedArray(const emulated::SharedSpan& span) : span_(span) {}

  SharedReference<T> operator[](SharedIndex index) const {
    return {span_, index.value * static_cast<std::int64_t>(sizeof(T)), index.site};
  }

  // V covers one or more elements, starting at element `index`; aligned to sizeof(V).
  template <class V>
  V load(std::int64_t index, Site site = Site::current()) const {
    const std::int64_t at = index * static_cast<std::int64_t>(sizeof(T));
    emulated::check_shared(span_, at, sizeof(V), alignof(V), emulated::Access::kRead, site);
    V value;
    std::memcpy(&value, span_.data + at, sizeof(V));
    return value;
  }
  template <class V>
  void store(std::int64_t index, const V& value, Site site = Site::current()) const {
    const std::int64_t at = index * static_cast<std::int64_t>(sizeof(T));
    emulated::check_shared(span_, at, sizeof(V), alignof(V), emulated::Access::kWrite, site);
    std::memcpy(span_.data + at, &value, sizeof(V));
  }

  // The same memory from element `first` on; indices start at zero again.
  SharedArray from(std::int64_t first) const {
    const std::size_t bytes = static_cast<std::size_t>(first) * sizeof(T);
    emulated::SharedSpan rest = span_;
    rest.data += bytes;
    rest.offset += bytes;
    rest.bytes = bytes > span_.bytes ? 0 : span_.bytes - bytes;
    return SharedArray(rest);
  }

  const emulated::SharedSpan& span() const { return span_; }

 private:
  emulated::SharedSpan span_;
};

// Declares `name`, a SharedArray<type> of `count` elements (a constant), at function scope in a
// kernel or in a device function. Every call site, and every instantiation of a template, has an
// array of its own.
#define QH_SHARED(type, name, count)                                                        \
  static const char name##_key = 0;                                                         \
  const ::quanthost::gpu::SharedArray<type> name(::quanthost::gpu::emulated::static_shared( \
      &name##_key, sizeof(type) * (count), alignof(type) < 16 ? 16 : alignof(type), #name))

// The launch's dynamic shared memory from byte `offset` on, as `count` elements.
template <class T>
SharedArray<T> dynamic_shared(std::size_t count, std::size_t offset = 0,
                              Site site = Site::current()) {
  return SharedArray<T>(emulated::dynamic_shared(offset, count * sizeof(T), alignof(T), site));
}

}  // namespace quanthost::gpu

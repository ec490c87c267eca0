#include "shared_memory.hpp"

#include <algorithm>
#include <cstring>

#include "fault.hpp"

namespace quanthost::gpu::emulated {
namespace {

constexpr std::size_t kCapacity =
    232448;  // what sm_90 gives a block at most; docs/kernels.md names the portable limit
constexpr std::byte kPoison{
    0xff};  // a NaN in every floating-point type, -1 in every signed integer

const char* verb(Access access) {
  switch (access) {
    case Access::kRead:
      return "reads";
    case Access::kWrite:
      return "writes";
    case Access::kAtomic:
      return "updates atomically";
  }
  return "";
}

const char* noun(Access access) {
  switch (access) {
    case Access::kRead:
      return "read";
    case Access::kWrite:
      return "write";
    case Access::kAtomic:
      return "atomic update";
  }
  return "";
}

Size3 coordinates(unsigned linear, const Size3& size) {
  return {linear % size.x, linear / size.x % size.y, linear / (size.x * size.y)};
}

std::string place(const SharedSpan& span, std::int64_t at, std::size_t bytes) {
  std::string text = "shared array `" + std::string(span.name) + "`";
  if (at % static_cast<std::int64_t>(bytes) == 0) {
    text += ", element " + std::to_string(at / static_cast<std::int64_t>(bytes)) + " of " +
            std::to_string(bytes) + " bytes";
  } else {
    text += ", " + std::to_string(bytes) + " bytes from byte " + std::to_string(at);
  }
  return text;
}

[[noreturn]] void fault(const Self& thread, const Site& site, const std::string& what) {
  throw Fault{describe(thread, site, what)};
}

}  // namespace

void SharedMemory::reset(std::size_t dynamic_bytes, std::size_t threads, const Size3& block_size) {
  if (dynamic_bytes > kCapacity) {
    throw Fault{"the launch asks for " + std::to_string(dynamic_bytes) +
                " bytes of dynamic shared memory; a block has " + std::to_string(kCapacity)};
  }
  bytes_.resize(kCapacity);
  static_arrays_.clear();
  copies_.assign(threads, {});
  dynamic_bytes_ = dynamic_bytes;
  used_ = 0;
  first_epoch_ = ++epoch_;
  block_size_ = block_size;
  dynamic_ = take(dynamic_bytes, 16, "dynamic shared memory");
}

SharedSpan SharedMemory::take(std::size_t bytes, std::size_t alignment, const char* name) {
  const std::size_t offset = (used_ + alignment - 1) / alignment * alignment;
  if (bytes > kCapacity || offset > kCapacity - bytes) {
    throw Fault{"shared array `" + std::string(name) + "` of " + std::to_string(bytes) +
                " bytes does not fit: " + std::to_string(offset) + " of the block's " +
                std::to_string(kCapacity) + " bytes are taken"};
  }
  used_ = offset + bytes;
  if (shadow_.size() < used_) shadow_.resize(used_);
  std::fill_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), bytes, kPoison);
  return {bytes_.data() + offset, offset, bytes, name};
}

SharedSpan SharedMemory::static_array(const void* key, std::size_t bytes, std::size_t alignment,
                                      const char* name) {
  for (const StaticArray& array : static_arrays_) {
    if (array.key == key) return array.span;
  }
  static_arrays_.push_back({key, take(bytes, alignment, name)});
  return static_arrays_.back().span;
}

SharedSpan SharedMemory::dynamic_array(const Self& thread, std::size_t offset, std::size_t bytes,
                                       std::size_t alignment, const Site& site) {
  if (bytes > dynamic_bytes_ || offset > dynamic_bytes_ - bytes) {
    fault(thread, site,
          "out of bounds: takes " + std::to_string(bytes) +
              " bytes of dynamic shared memory from byte " + std::to_string(offset) +
              "; the launch gave " + std::to_string(dynamic_bytes_));
  }
  if (offset % alignment != 0) {
    fault(thread, site,
          "misaligned: byte " + std::to_string(offset) +
              " of dynamic shared memory is not a multiple of " + std::to_string(alignment));
  }
  return {dynamic_.data + offset, dynamic_.offset + offset, bytes, dynamic_.name};
}

void SharedMemory::check(const Toucher& toucher, const SharedSpan& span, std::int64_t at,
                         std::size_t bytes, std::size_t alignment, Access access,
                         const Site& site) {
  const Self& thread = *toucher.thread;
  if (at < 0 || bytes > span.bytes || static_cast<std::size_t>(at) > span.bytes - bytes) {
    fault(thread, site,
          "out of bounds: " + std::string(verb(access)) + " " + place(span, at, bytes) +
              "; the array has " + std::to_string(span.bytes) + " bytes");
  }
  const std::size_t first = span.offset + static_cast<std::size_t>(at);
  if (first % alignment != 0) {
    fault(thread, site,
          "misaligned: " + std::string(verb(access)) + " " + place(span, at, bytes) +
              ", which is not at a multiple of " + std::to_string(alignment) + " bytes");
  }
  for (std::size_t i = first; i < first + bytes; ++i) {
    Byte& byte = shadow_[i];
    if (byte.copy_epoch >= first_epoch_) {
      fault(thread, site,
            "missing wait: " + std::string(verb(access)) + " " + place(span, at, bytes) +
                ", the target of the async copy begun at " + to_text(byte.copy_site) +
                ", which no async_wait() has completed");
    }
    if (access != Access::kWrite && byte.written_epoch < first_epoch_) {
      fault(thread, site,
            "uninitialized: " + std::string(verb(access)) + " " + place(span, at, bytes) +
                ", which no thread of this block has written");
    }
    refuse_races(toucher, span, at, bytes, byte, access, site);
    note(toucher, byte, access, site);
  }
}

bool SharedMemory::in_order(const Touch& before, const Toucher& now) const {
  const Self& thread = *now.thread;
  if (before.epoch < epoch_ || before.thread == thread.linear) return true;
  const bool same_warp = before.thread / thread.warp_size == thread.linear / thread.warp_size;
  return same_warp && now.clock->seen[before.lane] >= before.clock;
}

void SharedMemory::refuse_races(const Toucher& toucher, const SharedSpan& span, std::int64_t at,
                                std::size_t bytes, const Byte& byte, Access access,
                                const Site& site) const {
  const auto refuse = [&](const Touch& before, Access earlier) {
    if (in_order(before, toucher)) return;
    fault(*toucher.thread, site,
          "race: this " + std::string(noun(access)) + " of " + place(span, at, bytes) +
              " and the " + noun(earlier) + " by thread " +
              to_text(coordinates(before.thread, block_size_)) + " at " + to_text(before.site) +
              " have no barrier between them");
  };
  if (!(access == Access::kAtomic && byte.write.atomic)) {
    refuse(byte.write, byte.write.atomic ? Access::kAtomic : Access::kWrite);
  }
  if (access == Access::kRead) return;
  for (const Touch& read : byte.reads) refuse(read, Access::kRead);
}

void SharedMemory::note(const Toucher& toucher, Byte& byte, Access access, const Site& site) const {
  const Self& thread = *toucher.thread;
  const Touch touch{site,
                    epoch_,
                    toucher.clock->seen[thread.lane],
                    static_cast<std::uint16_t>(thread.linear),
                    static_cast<std::uint16_t>(thread.lane),
                    access == Access::kAtomic};
  if (access == Access::kRead) {
    const bool first_is_free = in_order(byte.reads[0], toucher);
    byte.reads[first_is_free ? 0 : 1] = touch;
    return;
  }
  byte.write = touch;
  byte.written_epoch = epoch_;
  byte.reads = {};
}

void SharedMemory::begin_copy(const Toucher& toucher, const SharedSpan& span, std::int64_t at,
                              const void* source, std::size_t bytes, const Site& site) {
  check(toucher, span, at, bytes, bytes, Access::kWrite, site);
  const std::size_t first = span.offset + static_cast<std::size_t>(at);
  for (std::size_t i = first; i < first + bytes; ++i) {
    shadow_[i].copy_epoch = epoch_;
    shadow_[i].copy_site = site;
  }
  std::byte* target = span.data + at;
  std::fill_n(target, bytes, kPoison);
  copies_[toucher.thread->linear].open.push_back({first, target, source, bytes, span.name, site});
}

void SharedMemory::commit_copies(unsigned thread) {
  Copies& copies = copies_[thread];
  copies.committed.push_back(std::move(copies.open));
  copies.open.clear();
}

void SharedMemory::land_copies(const Toucher& toucher, int groups_left) {
  Copies& copies = copies_[toucher.thread->linear];
  while (copies.committed.size() > static_cast<std::size_t>(groups_left)) {
    for (const Copy& copy : copies.committed.front()) {
      if (copy.source == nullptr) {
        std::memset(copy.target, 0, copy.bytes);
      } else {
        std::memcpy(copy.target, copy.source, copy.bytes);
      }
      for (std::size_t i = copy.offset; i < copy.offset + copy.bytes; ++i) {
        shadow_[i].copy_epoch = 0;
        note(toucher, shadow_[i], Access::kWrite, copy.site);
      }
    }
    copies.committed.pop_front();
  }
}

void SharedMemory::refuse_copies_under_way(const Self& thread) const {
  const Copies& copies = copies_[thread.linear];
  const Copy* copy = copies.open.empty() ? nullptr : &copies.open.front();
  for (const std::vector<Copy>& group : copies.committed) {
    if (!group.empty()) copy = &group.front();
  }
  if (copy == nullptr) return;
  fault(thread, copy->site,
        "missing wait: the thread ended with the async copy to shared array `" +
            std::string(copy->array) + "` under way; call async_commit() and async_wait() first");
}

}  // namespace quanthost::gpu::emulated

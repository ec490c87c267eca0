#include "host/devices/host_memory.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

constexpr std::size_t kAlignment = 256;  // what the interface promises

constexpr std::size_t kAddressSpace = std::size_t{1} << 47;  // more cannot be mapped

void* take(std::size_t bytes) {
  const std::size_t whole = (bytes / kAlignment + 1) * kAlignment;
  void* memory = bytes < kAddressSpace ? std::aligned_alloc(kAlignment, whole) : nullptr;
  if (memory == nullptr) {
    fail(ErrorKind::kMemory, "host memory: {} bytes could not be allocated; {} bytes are free",
         bytes, host_memory().free_bytes);
  }
  return memory;
}

class HostAllocator : public DeviceAllocator {
 public:
  void* allocate(std::size_t bytes, void*) override { return take(bytes); }
  void release(void* memory, void*) noexcept override { std::free(memory); }
};

// A line "Name:   1234 kB" of /proc/meminfo, in bytes.
std::uint64_t meminfo(const std::string& name, std::uint64_t otherwise) {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  std::uint64_t kilobytes = 0;
  while (file >> key >> kilobytes) {
    if (key == name + ":") return kilobytes * 1024;
    std::getline(file, unit);
  }
  return otherwise;
}

std::uint64_t number_in(const char* path, std::uint64_t otherwise) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? value : otherwise;  // "max" is no number
}

}  // namespace

HostMemoryInfo host_memory() {
  const auto pages = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES));
  const std::uint64_t total =
      meminfo("MemTotal", pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)));
  const std::uint64_t free = meminfo("MemAvailable", total);
  const std::uint64_t limit = number_in("/sys/fs/cgroup/memory.max", total);
  const std::uint64_t used = number_in("/sys/fs/cgroup/memory.current", 0);
  return {std::min(total, limit), std::min(free, limit > used ? limit - used : 0)};
}

HostMemoryDevice::HostMemoryDevice(std::string name)
    : Device(std::move(name), std::make_shared<HostAllocator>()) {}

void* HostMemoryDevice::allocate_pinned(std::size_t bytes) { return take(bytes); }
void HostMemoryDevice::release_pinned(void* memory) noexcept { std::free(memory); }

void HostMemoryDevice::copy(CopyKind, void* target, const void* source, std::size_t bytes, void*) {
  if (bytes != 0) std::memmove(target, source, bytes);
}
void HostMemoryDevice::fill(void* target, int byte, std::size_t bytes, void*) {
  if (bytes != 0) std::memset(target, byte, bytes);
}

}  // namespace quanthost

#include "host/load/process_memory.hpp"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace quanthost {
namespace {

constexpr std::size_t kLargeSegmentBytes = std::size_t{4} << 20;

// Only segments that were never writable: their pages are those of the file, and nothing is lost.
int release_segments(dl_phdr_info* library, std::size_t, void*) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (int i = 0; i < library->dlpi_phnum; ++i) {
    const auto& segment = library->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W)) continue;
    if (segment.p_filesz < kLargeSegmentBytes) continue;
    const std::uintptr_t start = library->dlpi_addr + segment.p_vaddr;
    const std::uintptr_t begin = (start + page - 1) / page * page;
    const std::uintptr_t end = (start + segment.p_filesz) / page * page;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the dynamic linker tells addresses as integers
    ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  return 0;
}

}  // namespace

ProcessMemory process_memory() {
  ProcessMemory memory;
  std::ifstream file("/proc/self/status");
  std::string key, rest;
  while (file >> key) {
    std::uint64_t* const value = key == "VmRSS:"     ? &memory.resident_bytes
                                 : key == "VmHWM:"   ? &memory.peak_bytes
                                 : key == "RssAnon:" ? &memory.anonymous_bytes
                                                     : nullptr;
    if (value && file >> *value) *value *= 1024;  // "1234 kB"
    std::getline(file, rest);
  }
  return memory;
}

void release_idle_memory() {
  ::malloc_trim(0);
  ::dl_iterate_phdr(release_segments, nullptr);
}

}  // namespace quanthost

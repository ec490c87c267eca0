// Pages of memory that a large result is about to fill.
#pragma once

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <cstdint>

namespace quanthost::cpu {

// Asks for 2 MiB pages where `bytes` at `data` were not touched yet: a page fault for each 4 KiB
// takes longer than the quantization that fills them. Only for what is written as a whole. Smaller
// results are left alone: the C library keeps their memory and hands it out in pieces, where it
// gives this back to the system when it is freed. [any thread]
inline void expect_large_result([[maybe_unused]] void* data, [[maybe_unused]] std::int64_t bytes) {
#ifdef __linux__
  constexpr std::uintptr_t kPage = std::uintptr_t{2} << 20;
  constexpr std::int64_t kAtLeast = std::int64_t{32} << 20;  // glibc maps these one by one
  if (bytes < kAtLeast) return;
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t begin = (address + kPage - 1) / kPage * kPage,
                       end = (address + static_cast<std::uintptr_t>(bytes)) / kPage * kPage;
  // A system that has no such pages refuses, and nothing is lost.
  ::madvise(static_cast<char*>(data) + (begin - address), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace quanthost::cpu

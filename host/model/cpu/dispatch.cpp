// Chooses the kernels for the CPU this runs on.
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cstdlib>
#include <cstring>

#include "host/model/cpu/kernels.hpp"

namespace quanthost::model::cpu {
namespace {

#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool has_avx512_bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }
#endif

const Kernels* usable(int rank) {  // best first; null: not on this CPU
#if defined(__x86_64__)
  if (rank == 0) return has_avx512_bf16() ? &kAvx512Bf16Kernels : nullptr;
  if (rank == 1) return has_avx512() ? &kAvx512Kernels : nullptr;
  if (rank == 2) return has_avx2() ? &kAvx2Kernels : nullptr;
#endif
  return &kScalarKernels;
}

constexpr int kRanks = 4;

const Kernels& best() {
  if (const char* wanted = std::getenv("QUANTHOST_CPU_KERNELS")) {
    if (const Kernels* named = kernels_named(wanted)) return *named;
  }
  int rank = 0;
  while (!usable(rank)) ++rank;
  return *usable(rank);
}

}  // namespace

const Kernels* kernels_named(const char* name) {
  for (int rank = 0; rank < kRanks; ++rank) {
    const Kernels* candidate = usable(rank);
    if (candidate && std::strcmp(candidate->name, name) == 0) return candidate;
  }
  return nullptr;
}

bool has_float16_products() {
#if defined(__x86_64__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  // Not by __builtin_cpu_supports: clang 14 does not know the name.
  return has_avx512() && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (edx >> 23 & 1u);
#else
  return false;
#endif
}

const Kernels& kernels() {
  static const Kernels& chosen = best();
  return chosen;
}

}  // namespace quanthost::model::cpu

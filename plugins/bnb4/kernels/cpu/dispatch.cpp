// Which instruction sets this machine runs, and which table is used.
#include <cstdlib>
#include <cstring>

#include "plugins/bnb4/kernels/cpu/kernels.hpp"

#ifdef QUANTHOST_BNB4_X86
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace quanthost::bnb4::cpu {
namespace {

#ifdef QUANTHOST_BNB4_X86

struct CpuFeatures {
  bool avx2 = false;
  bool avx512 = false;
  bool avx512_bf16 = false;
  bool amx_bf16 = false;
};

uint64_t enabled_states() {
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

bool bit(uint32_t word, int index) { return (word >> index & 1u) != 0; }

// Linux gives tile registers only to processes that ask.
bool request_tiles() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr long kRequestPermission = 0x1023;
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

CpuFeatures detect() {
  CpuFeatures features;
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) return features;  // OSXSAVE
  const bool fma = bit(c, 12);
  const bool f16c = bit(c, 29);
  const uint64_t states = enabled_states();
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return features;
  const uint32_t leaf7_d = d;
  features.avx2 = bit(b, 5) && fma && f16c && (states & 0x6) == 0x6;
  features.avx512 = features.avx2 && bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31) &&
                    (states & 0xe6) == 0xe6;
  uint32_t leaf7_1a = 0;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) leaf7_1a = a;
  features.avx512_bf16 = features.avx512 && bit(leaf7_1a, 5);
  const bool tiles = bit(leaf7_d, 22) && bit(leaf7_d, 24) && (states & 0x60000) == 0x60000;
  features.amx_bf16 = features.avx512_bf16 && tiles && request_tiles();
  return features;
}

const CpuFeatures& features() {
  static const CpuFeatures result = detect();
  return result;
}

#endif

Isa highest_allowed() {
  const char* wanted = std::getenv("QUANTHOST_BNB4_ISA");
  if (wanted) {
    static constexpr const char* kNames[] = {"scalar", "avx2", "avx512", "avx512_bf16", "amx_bf16"};
    for (int32_t i = 0; i < 5; ++i) {
      if (std::strcmp(wanted, kNames[i]) == 0) return static_cast<Isa>(i);
    }
  }
  return Isa::kAmxBf16;
}

}  // namespace

bool isa_available(Isa isa) {
#ifdef QUANTHOST_BNB4_X86
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kAvx2:
      return features().avx2;
    case Isa::kAvx512:
      return features().avx512;
    case Isa::kAvx512Bf16:
      return features().avx512_bf16;
    case Isa::kAmxBf16:
      return features().amx_bf16;
  }
  return false;
#else
  return isa == Isa::kScalar;
#endif
}

const KernelTable& kernels_for(Isa isa) {
#ifdef QUANTHOST_BNB4_X86
  switch (isa) {
    case Isa::kScalar:
      break;
    case Isa::kAvx2:
      return avx2_kernels();
    case Isa::kAvx512:
      return avx512_kernels();
    case Isa::kAvx512Bf16:
      return avx512_bf16_kernels();
    case Isa::kAmxBf16:
      return amx_bf16_kernels();
  }
#else
  (void)isa;
#endif
  return scalar_kernels();
}

const KernelTable& best_kernels() {
  static const KernelTable& table = []() -> const KernelTable& {
    for (auto isa = static_cast<int32_t>(highest_allowed()); isa > 0; --isa) {
      if (isa_available(static_cast<Isa>(isa))) return kernels_for(static_cast<Isa>(isa));
    }
    return scalar_kernels();
  }();
  return table;
}

}  // namespace quanthost::bnb4::cpu

// What this CPU can run, found out once with cpuid and xgetbv, and the instruction-set levels that
// kernels are written for.
#pragma once

#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace quanthost::cpu {

// Each level holds all that the ones before it hold.
enum class Isa {
  scalar,
  avx2,         // + FMA, F16C
  avx512,       // F, BW, VL, DQ
  avx512_vnni,  // + VNNI, VBMI
  avx512_bf16,  // + BF16
  amx           // + AMX-TILE, AMX-BF16, AMX-INT8, and the kernel lets this process use them
};
inline constexpr Isa kAllIsas[] = {Isa::scalar,      Isa::avx2,        Isa::avx512,
                                   Isa::avx512_vnni, Isa::avx512_bf16, Isa::amx};

inline const char* name_of(Isa isa) {
  constexpr const char* kNames[] = {"scalar",      "avx2",        "avx512",
                                    "avx512_vnni", "avx512_bf16", "amx"};
  return kNames[static_cast<int>(isa)];
}

namespace detail {

#ifdef __x86_64__
struct Cpuid {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  Cpuid(unsigned leaf, unsigned subleaf) {
    __get_cpuid_count(leaf, subleaf, &eax, &ebx, &ecx, &edx);
  }
};

inline bool has_bits(std::uint64_t word, std::uint64_t bits) { return (word & bits) == bits; }

// The register state that the operating system saves on a context switch (XCR0).
inline std::uint64_t saved_state() {
  const bool osxsave = has_bits(Cpuid(1, 0).ecx, 1u << 27);
  if (!osxsave) return 0;
  std::uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

// Linux gives the 8 KiB tile state only to a process that asks for it.
inline bool request_tile_state() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

inline Isa detect() {
  const std::uint64_t state = saved_state();
  const Cpuid one(1, 0), seven(7, 0), seven_one(7, 1);
  constexpr unsigned kFma = 1u << 12, kF16c = 1u << 29, kAvx = 1u << 28, kAvx2 = 1u << 5;
  if (!has_bits(state, 0x6) || !has_bits(one.ecx, kFma | kF16c | kAvx) ||
      !has_bits(seven.ebx, kAvx2))
    return Isa::scalar;
  constexpr unsigned kAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
  if (!has_bits(state, 0xe6) || !has_bits(seven.ebx, kAvx512)) return Isa::avx2;
  constexpr unsigned kVbmi = 1u << 1, kVnni = 1u << 11;
  if (!has_bits(seven.ecx, kVbmi | kVnni)) return Isa::avx512;
  constexpr unsigned kBf16 = 1u << 5;
  if (!has_bits(seven_one.eax, kBf16)) return Isa::avx512_vnni;
  constexpr unsigned kAmx = 1u << 22 | 1u << 24 | 1u << 25;  // BF16, TILE, INT8
  if (!has_bits(state, 0x60000) || !has_bits(seven.edx, kAmx) || !request_tile_state())
    return Isa::avx512_bf16;
  return Isa::amx;
}
#else
inline Isa detect() { return Isa::scalar; }
#endif

inline Isa chosen() {
  Isa isa = detect();
  if (const char* wanted = std::getenv("QUANTHOST_CPU_ISA"))
    for (Isa level : kAllIsas)
      if (std::strcmp(wanted, name_of(level)) == 0 && level < isa) isa = level;
  return isa;
}

}  // namespace detail

// The best level this machine runs. QUANTHOST_CPU_ISA=<level> lowers it (it never raises it). [any
// thread]
inline Isa best_isa() {
  static const Isa isa = detail::chosen();
  return isa;
}

}  // namespace quanthost::cpu

// Which table an instruction-set level gets.
#include "cpu/kernels.hpp"

namespace quanthost::gptq {

const Kernels& kernels_for(cpu::Isa isa) {
  if (isa >= cpu::Isa::avx512_bf16) return avx512_bf16_kernels();
  if (isa >= cpu::Isa::avx512) return avx512_kernels();
  return isa == cpu::Isa::avx2 ? avx2_kernels() : scalar_kernels();
}

}  // namespace quanthost::gptq

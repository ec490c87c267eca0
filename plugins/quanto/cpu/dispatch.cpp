// Which table an instruction-set level gets.
#include "cpu/kernels.hpp"

namespace quanthost::quanto {

const Kernels& kernels_for(cpu::Isa isa) {
  if (isa >= cpu::Isa::avx512) return avx512_kernels();
  if (isa == cpu::Isa::avx2) return avx2_kernels();
  return scalar_kernels();
}

}  // namespace quanthost::quanto

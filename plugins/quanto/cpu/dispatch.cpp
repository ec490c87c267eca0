// Which table an instruction-set level gets.
#include "cpu/kernels.hpp"

namespace quanthost::quanto {

const Kernels& kernels_for(cpu::Isa isa) {
  switch (isa) {
    case cpu::Isa::amx:
      return amx_kernels();
    case cpu::Isa::avx512_bf16:
      return avx512_bf16_kernels();
    case cpu::Isa::avx512_vnni:
      return avx512_vnni_kernels();
    case cpu::Isa::avx512:
      return avx512_kernels();
    case cpu::Isa::avx2:
      return avx2_kernels();
    case cpu::Isa::scalar:
      break;
  }
  return scalar_kernels();
}

}  // namespace quanthost::quanto

// Which table an instruction-set level gets.
#include "plugins/bnb4/kernels/cpu/kernels.hpp"

namespace quanthost::bnb4::cpu {

const KernelTable& kernels_for(Isa isa) {
#ifdef QUANTHOST_BNB4_X86
  switch (isa) {
    case Isa::amx:
      return amx_kernels();
    case Isa::avx512_bf16:
      return avx512_bf16_kernels();
    case Isa::avx512_vnni:
    case Isa::avx512:
      return avx512_kernels();
    case Isa::avx2:
      return avx2_kernels();
    case Isa::scalar:
      break;
  }
#else
  (void)isa;
#endif
  return scalar_kernels();
}

}  // namespace quanthost::bnb4::cpu

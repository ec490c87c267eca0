// Which table an instruction-set level gets.
#include "algorithm/row_kernels.hpp"

namespace quanthost::gptq {

const RowKernels& row_kernels_for(cpu::Isa isa) {
  if (isa >= cpu::Isa::avx512) return avx512_row_kernels();
  return isa == cpu::Isa::avx2 ? avx2_row_kernels() : scalar_row_kernels();
}

}  // namespace quanthost::gptq

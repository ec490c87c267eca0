// The kernels, compiled for AVX2.
#include "cpu/kernels.inl"

namespace quanthost::gptq {

const Kernels& avx2_kernels() {
  static constexpr Kernels table = table_for(cpu::Isa::avx2);
  return table;
}

}  // namespace quanthost::gptq

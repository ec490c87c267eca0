// The kernels, compiled for AVX-512.
#include "cpu/kernels.inl"

namespace quanthost::gptq {

const Kernels& avx512_kernels() {
  static constexpr Kernels table = table_for(cpu::Isa::avx512);
  return table;
}

}  // namespace quanthost::gptq

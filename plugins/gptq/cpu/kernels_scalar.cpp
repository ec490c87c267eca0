// The kernels, compiled in plain C++.
#include "cpu/kernels.inl"

namespace quanthost::gptq {

const Kernels& scalar_kernels() {
  static constexpr Kernels table = table_for(cpu::Isa::scalar);
  return table;
}

}  // namespace quanthost::gptq

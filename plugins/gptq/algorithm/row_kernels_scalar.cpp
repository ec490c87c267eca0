// The solver's loops, compiled for any machine.
#include "algorithm/row_kernels.inl"

namespace quanthost::gptq {

const RowKernels& scalar_row_kernels() { return kRowKernels; }

}  // namespace quanthost::gptq

// The solver's loops, compiled for AVX2.
#include "algorithm/row_kernels.inl"

namespace quanthost::gptq {

const RowKernels& avx2_row_kernels() { return kRowKernels; }

}  // namespace quanthost::gptq

// The solver's loops, compiled for AVX-512.
#include "algorithm/row_kernels.inl"

namespace quanthost::gptq {

const RowKernels& avx512_row_kernels() { return kRowKernels; }

}  // namespace quanthost::gptq

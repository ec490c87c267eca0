// The kernels for AVX-512 F, BW, VL, DQ.
#include <immintrin.h>

#include "plugins/bnb4/kernels/cpu/values.hpp"

namespace quanthost::bnb4::cpu {
namespace {

#include "plugins/bnb4/kernels/cpu/avx512.hpp"
#include "plugins/bnb4/kernels/cpu/blockwise.inl"
#include "plugins/bnb4/kernels/cpu/linear.inl"

constexpr LinearKernel kLinear = linear_kernel<Avx512>();

}  // namespace

const KernelTable& avx512_kernels() {
  static const KernelTable table = {
      "avx512", quantize_run<Avx512>, dequantize_run<Avx512>, expand_run, &kLinear, nullptr,
      nullptr,  backward_run<Avx512>};
  return table;
}

}  // namespace quanthost::bnb4::cpu

// The portable kernels, compiled for AVX2.
#include "cpu/linear_dot.inl"
#include "cpu/linear_int8.inl"
#include "cpu/linear_panel.inl"

namespace quanthost::quanto {

const Kernels& avx2_kernels() {
  static const Kernels table = {
      cpu::Isa::avx2,
      quantize_rows,
      dequantize_rows,
      absmax_range,
      [](const LinearArgs& a) -> const LinearPath& {
        return a.tokens <= kDotTokens ? kDotPath : kPanelPath;
      },
      [](const LinearArgs&) -> const LinearPath& { return kInt8Path; },
      [](const LinearArgs&) -> const LinearPath& { return kBackwardPath; },
  };
  return table;
}

}  // namespace quanthost::quanto

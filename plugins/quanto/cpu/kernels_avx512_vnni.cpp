// AVX-512 with VNNI: int8 weights without widening them.
#include "cpu/linear_dot.inl"
#include "cpu/linear_panel.inl"
#include "cpu/vnni.inl"

namespace quanthost::quanto {

const Kernels& avx512_vnni_kernels() {
  static const Kernels table = {
      cpu::Isa::avx512_vnni,
      quantize_rows,
      dequantize_rows,
      absmax_range,
      [](const LinearArgs& a) -> const LinearPath& {
        if (takes_fixed_path(a)) return kFixedPath;
        return a.tokens <= kDotTokens ? kDotPath : kPanelPath;
      },
      [](const LinearArgs&) -> const LinearPath& { return kWidePath<VnniInt8>; },
      [](const LinearArgs&) -> const LinearPath& { return kBackwardPath; },
  };
  return table;
}

}  // namespace quanthost::quanto

// AVX-512 with VNNI and BF16.
#include "cpu/bf16.inl"
#include "cpu/bf16_panel.inl"
#include "cpu/bf16_planes.inl"
#include "cpu/bf16_quantize.inl"
#include "cpu/linear_panel.inl"
#include "cpu/vnni.inl"

namespace quanthost::quanto {

const Kernels& avx512_bf16_kernels() {
  static const Kernels table = {
      cpu::Isa::avx512_bf16,
      bf16_quantize_rows,
      dequantize_rows,
      absmax_range,
      [](const LinearArgs& a) -> const LinearPath& {
        if (takes_fixed_path(a)) return kFixedPath;
        if (takes_codes_path(a)) return kCodesPath;
        if (takes_planes_path(a)) return kPlanesPath;
        // float8 decodes faster to bfloat16 than to float32, even for one token.
        const bool few = a.tokens <= kDotTokens && !is_float8(a.weight.qtype);
        if (takes_bf16_panel(a) && !few) return kBf16PanelPath;
        return a.tokens <= kDotTokens ? kDotPath : kPanelPath;
      },
      [](const LinearArgs&) -> const LinearPath& { return kWidePath<VnniInt8>; },
      [](const LinearArgs&) -> const LinearPath& { return kBackwardPath; },
  };
  return table;
}

}  // namespace quanthost::quanto

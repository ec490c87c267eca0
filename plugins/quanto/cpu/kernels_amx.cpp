// AVX-512 with VNNI, BF16 and AMX.
#include "cpu/amx.inl"
#include "cpu/bf16_quantize.inl"
#include "cpu/linear_panel.inl"
#include "cpu/vnni.inl"

namespace quanthost::quanto {

const Kernels& amx_kernels() {
  static const Kernels table = {
      cpu::Isa::amx,
      bf16_quantize_rows,
      dequantize_rows,
      absmax_range,
      [](const LinearArgs& a) -> const LinearPath& {
        if (takes_fixed_path(a)) return kFixedPath;
        if (takes_codes_path(a)) return kCodesPath;
        if (a.tokens <= kDotTokens) return kDotPath;
        return takes_bf16_panel(a) ? kWidePath<AmxBf16> : kPanelPath;
      },
      [](const LinearArgs&) -> const LinearPath& { return kWidePath<AmxInt8>; },
      [](const LinearArgs&) -> const LinearPath& { return kBackwardPath; },
  };
  return table;
}

}  // namespace quanthost::quanto

// From the solver's result to the checkpoint's words, and back to values.
#include "quantizer/packed_layer.hpp"

namespace quanthost::gptq {
namespace {

// [rows, columns] as [columns, rows].
template <typename To, typename From, typename Convert>
std::vector<To> turned(const std::vector<From>& from, std::int64_t rows, std::int64_t columns,
                       Convert&& convert) {
  std::vector<To> out(from.size());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c)
      out[static_cast<std::size_t>(c * rows + r)] =
          convert(from[static_cast<std::size_t>(r * columns + c)]);
  return out;
}

}  // namespace

PackedLayer pack_layer(const QuantizedLayer& layer, int bits) {
  const auto same = [](std::uint8_t code) { return code; };
  PackedLayer out{bits, layer.columns, layer.rows, layer.groups, {}, {}, {}, layer.g_idx};
  out.qweight = pack_weight(turned<std::uint8_t>(layer.codes, layer.rows, layer.columns, same),
                            out.inputs, out.outputs, bits);
  out.qzeros = pack_zeros(turned<std::uint8_t>(layer.zeros, layer.rows, layer.groups, same),
                          out.groups, out.outputs, bits);
  out.scales = turned<cpu::Float16>(layer.scales, layer.rows, layer.groups, [](float scale) {
    return cpu::from_float<cpu::Float16>(scale);
  });
  return out;
}

std::vector<float> dense_values(const PackedLayer& layer) {
  const std::vector<cpu::Float16> values = dequantize<cpu::Float16>(
      unpack_weight(layer.qweight, layer.inputs, layer.outputs, layer.bits),
      unpack_zeros(layer.qzeros, layer.groups, layer.outputs, layer.bits), layer.scales,
      layer.g_idx, layer.outputs);
  return turned<float>(values, layer.inputs, layer.outputs,
                       [](cpu::Float16 value) { return cpu::to_float(value); });
}

}  // namespace quanthost::gptq

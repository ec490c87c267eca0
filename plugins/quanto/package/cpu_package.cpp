// Checks arguments, splits the work over the host's threads and calls the instruction set's range
// functions.
#include "package/cpu_package.hpp"

#include <algorithm>
#include <cstring>
#include <quanthost/cpu/formats.hpp>
#include <quanthost/cpu/pages.hpp>
#include <string>
#include <vector>

#include "package/hqq.hpp"
#include "package/layout.hpp"

namespace quanthost::quanto {
namespace {

using qh::Error;
using qh::Exec;

// Enough elements in a range to be worth another thread.
constexpr std::int64_t kGrainElements = 1 << 15;

std::int64_t grain_for(std::int64_t elements_of_an_item) {
  return std::max<std::int64_t>(1, kGrainElements / std::max<std::int64_t>(1, elements_of_an_item));
}

// The matrix with one scale a row that the kernels see. AXIS_LAST gets its rows in memory of its
// own.
Matrix matrix_of(const Weight& w) {
  return {w.qtype,
          w.dtype,
          w.axis == QH_QUANTO_PER_TENSOR ? w.rows : w.scales(),
          w.axis == QH_QUANTO_PER_TENSOR ? w.columns : w.values_of_a_scale(),
          is_affine(w.qtype),
          w.axis == QH_QUANTO_PER_TENSOR,
          w.integer_shift,
          static_cast<std::uint8_t*>(data_of(*w.data)),
          data_of(*w.scale),
          w.shift ? data_of(*w.shift) : nullptr};
}

std::int64_t element_count(const Weight& w) { return w.rows * w.columns; }

LinearArgs linear_args(const Weight& w, const qh_tensor& x, const qh_tensor* bias,
                       const qh_tensor& out, std::int64_t x_columns, std::int64_t out_columns,
                       Dtype dtype) {
  if (w.axis == QH_QUANTO_AXIS_LAST)
    throw Error(QH_ERR_NOT_IMPLEMENTED, "a matrix product needs a weight quantized along axis 0");
  const std::int64_t elements = qh::TensorView(x).elements();
  if (elements % x_columns != 0 || x.ndim == 0 || x.shape[x.ndim - 1] != x_columns)
    throw Error(QH_ERR_VALUE, "the input's last dimension has to be " + std::to_string(x_columns));
  const std::int64_t tokens = elements / x_columns;
  check_tensor(out, "out", to_abi(dtype), tokens * out_columns);
  if (bias) check_tensor(*bias, "bias", to_abi(dtype), w.rows);
  LinearArgs a{};
  a.weight = matrix_of(w);
  a.outputs = w.rows;
  a.inputs = w.columns;
  a.groups = w.group_size == 0 ? 1 : w.columns / w.group_size;
  if (w.has_a_scale_for_each_value()) {  // as groups of one value: a single packed row is its
                                         // values
    a.weight.packed = false;
    a.groups = w.columns;
  }
  a.x_dtype = dtype;
  a.tokens = tokens;
  a.x = data_of(x);
  a.bias = bias ? data_of(*bias) : nullptr;
  a.y = data_of(out);
  return a;
}

}  // namespace

void CpuPackage::quantize_matrix(const Exec& exec, const void* base, const Matrix& m,
                                 bool given_scale) const {
  const QuantizeArgs args{m, base, given_scale};
  cpu::expect_large_result(m.data, m.packed_rows() * m.columns);
  exec.parallel_for(
      m.packed_rows(), grain_for(m.columns * m.per_byte()),
      [&](std::int64_t begin, std::int64_t end) { kernels_.quantize(args, begin, end); });
}

void CpuPackage::quantize_base(const Exec& exec, const qh_tensor& base, const Weight& w,
                               bool given_scale) const {
  Matrix m = matrix_of(w);
  if (!w.last_axis()) return quantize_matrix(exec, data_of(base), m, given_scale);
  const std::int64_t element = element_bytes(w.dtype);
  const qh::Scratch rows(*exec.abi(), static_cast<std::uint64_t>(element_count(w) * element));
  const qh::Scratch values(*exec.abi(), static_cast<std::uint64_t>(element_count(w)));
  last_axis_to_rows(exec, w, element, data_of(base), rows.as<void>());
  std::uint8_t* data = m.data;
  m.packed = false;
  m.data = values.as<std::uint8_t>();
  quantize_matrix(exec, rows.as<void>(), m, given_scale);
  if (!is_affine(w.qtype)) return rows_to_last_axis(exec, w, 1, m.data, data);
  const qh::Scratch columns(*exec.abi(), static_cast<std::uint64_t>(element_count(w)));
  transpose_bytes(exec, m.rows, m.columns, m.data, columns.as<std::uint8_t>());
  pack_values(exec, bit_width(w.qtype), m.columns, m.rows, columns.as<std::uint8_t>(), data);
}

void CpuPackage::quantize(const Exec& exec, const qh_tensor& base, std::int32_t optimizer,
                          const Weight& w) const {
  check_tensor(base, "base", to_abi(w.dtype), element_count(w));
  if (optimizer == QH_QUANTO_OPTIMIZER_DEFAULT) {
    if (w.axis != QH_QUANTO_PER_TENSOR) return quantize_base(exec, base, w, false);
    const float scale = absmax(exec, base) / largest_value(w.qtype);
    void* to = data_of(*w.scale);
    if (w.dtype == Dtype::f32) *static_cast<float*>(to) = scale;
    if (w.dtype == Dtype::f16)
      *static_cast<cpu::Float16*>(to) = cpu::from_float<cpu::Float16>(scale);
    if (w.dtype == Dtype::bf16)
      *static_cast<cpu::BFloat16*>(to) = cpu::from_float<cpu::BFloat16>(scale);
    return quantize_base(exec, base, w, true);
  }
  if (optimizer != QH_QUANTO_OPTIMIZER_HQQ)
    throw Error(QH_ERR_VALUE, "unknown optimizer " + std::to_string(optimizer));
  if (!is_affine(w.qtype) || w.integer_shift || w.last_axis())
    throw Error(QH_ERR_VALUE,
                "the HQQ optimizer needs 2 or 4 bits, axis 0 and a shift of the weight's own type");
  Matrix m = matrix_of(w);
  const qh::Scratch values(*exec.abi(), static_cast<std::uint64_t>(element_count(w)));
  m.packed = false;
  m.data = values.as<std::uint8_t>();
  quantize_matrix(exec, data_of(base), m, false);
  refine_shift(exec, data_of(base), m,
               [&](const Matrix& trial) { quantize_matrix(exec, data_of(base), trial, true); });
  quantize_base(exec, base, w, true);
}

void CpuPackage::quantize_with(const Exec& exec, const qh_tensor& base, const Weight& w) const {
  check_tensor(base, "base", to_abi(w.dtype), element_count(w));
  quantize_base(exec, base, w, true);
}

void CpuPackage::dequantize(const Exec& exec, const Weight& w, const qh_tensor& out) const {
  check_tensor(out, "out", to_abi(w.dtype), element_count(w));
  DequantizeArgs args{matrix_of(w), data_of(out)};
  cpu::expect_large_result(args.out, element_count(w) * element_bytes(w.dtype));
  Matrix& m = args.matrix;
  const auto run = [&] {
    exec.parallel_for(
        m.packed_rows(), grain_for(m.columns * m.per_byte()),
        [&](std::int64_t begin, std::int64_t end) { kernels_.dequantize(args, begin, end); });
  };
  if (!w.last_axis()) return run();
  const qh::Scratch values(*exec.abi(), static_cast<std::uint64_t>(element_count(w)));
  if (is_affine(w.qtype)) {
    const qh::Scratch columns(*exec.abi(), static_cast<std::uint64_t>(element_count(w)));
    unpack_values(exec, bit_width(w.qtype), m.columns, m.rows, m.data, columns.as<std::uint8_t>());
    transpose_bytes(exec, m.columns, m.rows, columns.as<std::uint8_t>(), values.as<std::uint8_t>());
  } else {
    last_axis_to_rows(exec, w, 1, m.data, values.as<void>());
  }
  const std::int64_t element = element_bytes(w.dtype);
  const qh::Scratch rows(*exec.abi(), static_cast<std::uint64_t>(element_count(w) * element));
  m.packed = false;
  m.data = values.as<std::uint8_t>();
  args.out = rows.as<void>();
  run();
  rows_to_last_axis(exec, w, element, args.out, data_of(out));
}

float CpuPackage::absmax(const Exec& exec, const qh_tensor& x) const {
  const Dtype dtype = check_float(x, "x");
  const std::int64_t count = qh::TensorView(x).elements();
  check_tensor(x, "x", x.dtype, count);
  const std::int64_t parts = ceil_div(count, kGrainElements);
  std::vector<std::uint32_t> best(static_cast<std::size_t>(parts));
  exec.parallel_for(parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p)
      best[static_cast<std::size_t>(p)] = kernels_.absmax_bits(
          data_of(x), dtype, p * kGrainElements, std::min(count, (p + 1) * kGrainElements));
  });
  std::uint32_t top = 0;
  for (std::uint32_t bits : best) top = std::max(top, bits);
  return cpu::float_of(top);
}

void CpuPackage::run_linear(const Exec& exec, const LinearPath& path, LinearArgs a) const {
  if (a.tokens == 0) return;
  const qh::Scratch staged(
      *exec.abi(), static_cast<std::uint64_t>(std::max<std::int64_t>(64, path.staged_bytes(a))));
  a.staged = staged.as<void>();
  const std::int64_t stage_items = path.stage_items(a);
  if (a.tokens * a.inputs <= kGrainElements)
    path.stage(a, 0, stage_items);
  else
    exec.parallel_for(stage_items, 1,
                      [&](std::int64_t begin, std::int64_t end) { path.stage(a, begin, end); });
  const std::int64_t items = path.run_items(a), scratch_bytes = path.scratch_bytes(a);
  exec.parallel_for(items, grain_for(a.outputs * a.inputs / std::max<std::int64_t>(1, items)),
                    [&](std::int64_t begin, std::int64_t end) {
                      if (scratch_bytes == 0) return path.run(a, begin, end, nullptr);
                      const qh::Scratch scratch(*exec.abi(),
                                                static_cast<std::uint64_t>(scratch_bytes));
                      path.run(a, begin, end, scratch.as<void>());
                    });
}

void CpuPackage::linear(const Exec& exec, const qh_tensor& x, const Weight& w,
                        const qh_tensor* bias, const qh_tensor& out) const {
  const Dtype dtype = check_float(x, "x");
  const LinearArgs a = linear_args(w, x, bias, out, w.columns, w.rows, dtype);
  check_tensor(x, "x", x.dtype, a.tokens * a.inputs);
  run_linear(exec, kernels_.linear(a), a);
}

void CpuPackage::linear_quantized(const Exec& exec, const qh_tensor& x_data, float x_scale,
                                  const Weight& w, const qh_tensor* bias,
                                  const qh_tensor& out) const {
  LinearArgs a = linear_args(w, x_data, bias, out, w.columns, w.rows, w.dtype);
  if (is_affine(w.qtype))
    throw Error(QH_ERR_NOT_IMPLEMENTED,
                "8-bit activations need 8-bit weights here: dequantize them and call linear");
  std::vector<float> scales(static_cast<std::size_t>(w.rows));
  const auto rounded_product = [&](auto tag) {
    using T = decltype(tag);
    const T* scale = static_cast<const T*>(a.weight.scale);
    for (std::int64_t o = 0; o < w.rows; ++o)
      scales[static_cast<std::size_t>(o)] = cpu::to_float(
          cpu::from_float<T>(x_scale * cpu::to_float(scale[a.weight.per_tensor ? 0 : o])));
  };
  if (w.dtype == Dtype::f32) rounded_product(float{});
  if (w.dtype == Dtype::f16) rounded_product(cpu::Float16{});
  if (w.dtype == Dtype::bf16) rounded_product(cpu::BFloat16{});
  a.output_scale = scales.data();
  if (x_data.dtype == qh::kInt8 && w.qtype == QType::int8) {
    check_tensor(x_data, "x", qh::kInt8, a.tokens * a.inputs);
    return run_linear(exec, kernels_.linear_int8(a), a);
  }
  // Anything else promotes the activation's codes to D, which holds them exactly.
  qh_quanto_weight activation{sizeof(qh_quanto_weight),
                              0,
                              QH_QUANTO_PER_TENSOR,
                              0,
                              0,
                              a.tokens,
                              a.inputs,
                              &x_data,
                              nullptr,
                              nullptr};
  activation.qtype = x_data.dtype == qh::kInt8           ? QH_QUANTO_INT8
                     : x_data.dtype == qh::kFloat8E4m3fn ? QH_QUANTO_FLOAT8_E4M3FN
                     : x_data.dtype == qh::kFloat8E5m2   ? QH_QUANTO_FLOAT8_E5M2
                                                         : QH_QUANTO_FLOAT8_E4M3FNUZ;
  const std::uint32_t one_f32 = 0x3f800000u;
  const std::uint16_t one_f16 = 0x3c00u, one_bf16 = 0x3f80u;
  const void* one = w.dtype == Dtype::f32   ? static_cast<const void*>(&one_f32)
                    : w.dtype == Dtype::f16 ? static_cast<const void*>(&one_f16)
                                            : static_cast<const void*>(&one_bf16);
  const qh_tensor unit{
      const_cast<void*>(one), x_data.device, 0, to_abi(w.dtype), nullptr, nullptr, 0};
  activation.scale = &unit;
  const qh::Scratch dense(*exec.abi(),
                          static_cast<std::uint64_t>(a.tokens * a.inputs * element_bytes(w.dtype)));
  qh_tensor promoted = x_data;
  promoted.dtype = to_abi(w.dtype);
  promoted.data = dense.as<void>();
  promoted.byte_offset = 0;
  dequantize(exec, check_weight(activation), promoted);
  a.x = promoted.data;
  run_linear(exec, kernels_.linear(a), a);
}

void CpuPackage::backward_input(const Exec& exec, const qh_tensor& grad_output, const Weight& w,
                                const qh_tensor& grad_input) const {
  const Dtype dtype = check_float(grad_output, "grad_output");
  const LinearArgs a = linear_args(w, grad_output, nullptr, grad_input, w.rows, w.columns, dtype);
  check_tensor(grad_output, "grad_output", grad_output.dtype, a.tokens * a.outputs);
  run_linear(exec, kernels_.backward(a), a);
}

}  // namespace quanthost::quanto

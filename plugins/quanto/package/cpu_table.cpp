// The C functions of qh.quanto.kernels/1: unpack, check, call CpuPackage.
#include "package/cpu_package.hpp"
#include "package/layout.hpp"

namespace quanthost::quanto {
namespace {

template <typename Body>
qh_status on_package(qh_package* self, Body&& body) noexcept {
  const auto& package = *reinterpret_cast<const CpuPackage*>(self);
  return package.host().guard([&] { body(package); });
}

qh_status layout(qh_package* self, const qh_quanto_weight* weight, qh_quanto_layout* out) {
  return on_package(self, [&](const CpuPackage&) {
    qh::detail::write_sized(out, layout_of(check_description(qh::copy_sized(weight))));
  });
}

qh_status quantize(qh_package* self, const qh_exec* exec, const qh_tensor* base,
                   std::int32_t optimizer, const qh_quanto_weight* out) {
  return on_package(self, [&](const CpuPackage& p) {
    p.quantize(qh::Exec(p.host(), exec), *base, optimizer, check_weight(qh::copy_sized(out)));
  });
}

qh_status quantize_with(qh_package* self, const qh_exec* exec, const qh_tensor* base,
                        const qh_quanto_weight* out) {
  return on_package(self, [&](const CpuPackage& p) {
    p.quantize_with(qh::Exec(p.host(), exec), *base, check_weight(qh::copy_sized(out)));
  });
}

qh_status dequantize(qh_package* self, const qh_exec* exec, const qh_quanto_weight* weight,
                     const qh_tensor* out) {
  return on_package(self, [&](const CpuPackage& p) {
    p.dequantize(qh::Exec(p.host(), exec), check_weight(qh::copy_sized(weight)), *out);
  });
}

struct Planes {
  std::int64_t rows, columns;
};
Planes check_planes(std::int32_t bits, const qh_tensor& values, const qh_tensor& packed) {
  if (bits != 2 && bits != 4) throw qh::Error(QH_ERR_VALUE, "only 2 and 4 bits are packed");
  if (values.ndim < 1 || packed.ndim != values.ndim)
    throw qh::Error(QH_ERR_VALUE, "values and packed need the same number of dimensions");
  const std::int64_t rows = values.shape[0], elements = qh::TensorView(values).elements();
  const std::int64_t columns = rows ? elements / rows : 0;
  check_tensor(values, "values", qh::kUint8, elements);
  check_tensor(packed, "packed", qh::kUint8, ceil_div(rows, 8 / bits) * columns);
  return {rows, columns};
}

qh_status pack(qh_package* self, const qh_exec* exec, std::int32_t bits, const qh_tensor* values,
               const qh_tensor* packed) {
  return on_package(self, [&](const CpuPackage& p) {
    const Planes size = check_planes(bits, *values, *packed);
    pack_values(qh::Exec(p.host(), exec), bits, size.rows, size.columns,
                static_cast<const std::uint8_t*>(data_of(*values)),
                static_cast<std::uint8_t*>(data_of(*packed)));
  });
}

qh_status unpack(qh_package* self, const qh_exec* exec, std::int32_t bits, const qh_tensor* packed,
                 const qh_tensor* values) {
  return on_package(self, [&](const CpuPackage& p) {
    const Planes size = check_planes(bits, *values, *packed);
    unpack_values(qh::Exec(p.host(), exec), bits, size.rows, size.columns,
                  static_cast<const std::uint8_t*>(data_of(*packed)),
                  static_cast<std::uint8_t*>(data_of(*values)));
  });
}

qh_status absmax(qh_package* self, const qh_exec* exec, const qh_tensor* x, float* out) {
  return on_package(self,
                    [&](const CpuPackage& p) { *out = p.absmax(qh::Exec(p.host(), exec), *x); });
}

qh_status linear(qh_package* self, const qh_exec* exec, const qh_tensor* x,
                 const qh_quanto_weight* weight, const qh_tensor* bias, const qh_tensor* out) {
  return on_package(self, [&](const CpuPackage& p) {
    p.linear(qh::Exec(p.host(), exec), *x, check_weight(qh::copy_sized(weight)), bias, *out);
  });
}

qh_status linear_quantized(qh_package* self, const qh_exec* exec, const qh_tensor* x_data,
                           float x_scale, const qh_quanto_weight* weight, const qh_tensor* bias,
                           const qh_tensor* out) {
  return on_package(self, [&](const CpuPackage& p) {
    p.linear_quantized(qh::Exec(p.host(), exec), *x_data, x_scale,
                       check_weight(qh::copy_sized(weight)), bias, *out);
  });
}

qh_status backward_input(qh_package* self, const qh_exec* exec, const qh_tensor* grad_output,
                         const qh_quanto_weight* weight, const qh_tensor* grad_input) {
  return on_package(self, [&](const CpuPackage& p) {
    p.backward_input(qh::Exec(p.host(), exec), *grad_output, check_weight(qh::copy_sized(weight)),
                     *grad_input);
  });
}

}  // namespace

const qh_quanto_kernels& cpu_package_table() {
  static const qh_quanto_kernels table = {sizeof(qh_quanto_kernels),
                                          0,
                                          layout,
                                          quantize,
                                          quantize_with,
                                          dequantize,
                                          pack,
                                          unpack,
                                          absmax,
                                          linear,
                                          linear_quantized,
                                          backward_input};
  return table;
}

}  // namespace quanthost::quanto

// qh_quanto_kernels_<target>: the package `quanto` for cuda, hip or the emulator. Compiled once for
// each.
#include <map>
#include <mutex>
#include <quanthost/plugin.hpp>

#include "gpu/kernels.hpp"
#include "package/weight.hpp"

namespace quanthost::quanto {
namespace {

using namespace gpu_kernels;
using qh::Error;

cpu::Float8Format float8_format(QType q) {
  return q == QType::float8_e4m3fnuz ? cpu::kE4m3fnuz
         : q == QType::float8_e5m2   ? cpu::kE5m2
                                     : cpu::kE4m3fn;
}

DeviceMatrix matrix_of(const Weight& w) {
  if (w.last_axis())
    throw Error(QH_ERR_NOT_IMPLEMENTED,
                "on " QH_KERNEL_TARGET " weights are quantized along axis 0 only");
  const bool per_tensor = w.axis == QH_QUANTO_PER_TENSOR;
  const std::int64_t rows = per_tensor ? w.rows : w.scales(), columns = w.rows * w.columns / rows;
  const int per_byte = values_per_byte(w.qtype);
  return {static_cast<Element>(w.dtype),
          is_affine(w.qtype)   ? Codes::affine
          : is_float8(w.qtype) ? Codes::float8
                               : Codes::int8,
          float8_format(w.qtype),
          largest_value(w.qtype),
          bit_width(w.qtype),
          per_byte,
          per_tensor,
          w.integer_shift,
          rows,
          columns,
          ceil_div(rows, per_byte),
          static_cast<std::uint8_t*>(data_of(*w.data)),
          data_of(*w.scale),
          w.shift ? data_of(*w.shift) : nullptr};
}

DeviceLinear linear_of(const Weight& w, const qh_tensor& x, const qh_tensor* bias,
                       const qh_tensor& out, std::int64_t x_columns, std::int64_t out_columns,
                       Dtype dtype) {
  const std::int64_t elements = qh::TensorView(x).elements();
  if (x.ndim == 0 || x.shape[x.ndim - 1] != x_columns || !qh::TensorView(x).is_contiguous())
    throw Error(QH_ERR_VALUE, "the input has to be contiguous with a last dimension of " +
                                  std::to_string(x_columns));
  const std::int64_t tokens = elements / x_columns;
  check_tensor(out, "out", to_abi(dtype), tokens * out_columns);
  if (bias) check_tensor(*bias, "bias", to_abi(dtype), w.rows);
  return {matrix_of(w), static_cast<Element>(dtype),
          tokens,       w.rows,
          w.columns,    w.group_size == 0 ? 1 : w.columns / w.group_size,
          data_of(x),   bias ? data_of(*bias) : nullptr,
          data_of(out), 0};
}

template <typename Body>
qh_status on_package(qh_package* self, Body&& body) noexcept {
  return reinterpret_cast<const qh::Host*>(self)->guard(std::forward<Body>(body));
}

float absmax_of(qh_package* self, const qh_exec* abi, const qh_tensor& x) {
  const qh::Exec exec(*reinterpret_cast<const qh::Host*>(self), abi);
  const Dtype dtype = check_float(x, "x");
  const qh::Scratch scratch(*abi, 4);
  return cpu::float_of(absmax_bits(exec.stream(), static_cast<Element>(dtype), data_of(x),
                                   qh::TensorView(x).elements(), scratch.as<void>()));
}

qh_status layout(qh_package* self, const qh_quanto_weight* weight, qh_quanto_layout* out) {
  return on_package(self, [&] {
    qh::detail::write_sized(out, layout_of(check_description(qh::copy_sized(weight))));
  });
}

qh_status quantize_base(qh_package* self, const qh_exec* exec, const qh_tensor* base,
                        const qh_quanto_weight* out, bool given) {
  return on_package(self, [&] {
    const Weight w = check_weight(qh::copy_sized(out));
    check_tensor(*base, "base", to_abi(w.dtype), w.rows * w.columns);
    DeviceMatrix m = matrix_of(w);
    if (!given && m.per_tensor) {  // one row of all values has the same scale
      m.columns *= m.rows;
      m.rows = m.packed_rows = 1;
    }
    gpu_kernels::quantize(qh::copy_sized(exec).stream, m, data_of(*base), given);
  });
}

qh_status quantize(qh_package* self, const qh_exec* exec, const qh_tensor* base,
                   std::int32_t optimizer, const qh_quanto_weight* out) {
  if (optimizer == QH_QUANTO_OPTIMIZER_DEFAULT) return quantize_base(self, exec, base, out, false);
  return on_package(self, [&] {
    throw Error(QH_ERR_NOT_IMPLEMENTED,
                "the HQQ optimizer runs on the CPU only, not on " QH_KERNEL_TARGET,
                "quantize on the CPU, or leave `optimizer` out");
  });
}

qh_status quantize_with(qh_package* self, const qh_exec* exec, const qh_tensor* base,
                        const qh_quanto_weight* out) {
  return quantize_base(self, exec, base, out, true);
}

qh_status dequantize(qh_package* self, const qh_exec* exec, const qh_quanto_weight* weight,
                     const qh_tensor* out) {
  return on_package(self, [&] {
    const Weight w = check_weight(qh::copy_sized(weight));
    check_tensor(*out, "out", to_abi(w.dtype), w.rows * w.columns);
    gpu_kernels::dequantize(qh::copy_sized(exec).stream, matrix_of(w), data_of(*out));
  });
}

qh_status no_packing(qh_package* self, const qh_exec*, std::int32_t, const qh_tensor*,
                     const qh_tensor*) {
  return on_package(self, [&] {
    throw Error(QH_ERR_NOT_IMPLEMENTED,
                "packing alone is done on the CPU, not on " QH_KERNEL_TARGET);
  });
}

qh_status absmax(qh_package* self, const qh_exec* exec, const qh_tensor* x, float* out) {
  return on_package(self, [&] { *out = absmax_of(self, exec, *x); });
}

qh_status linear(qh_package* self, const qh_exec* exec, const qh_tensor* x,
                 const qh_quanto_weight* weight, const qh_tensor* bias, const qh_tensor* out) {
  return on_package(self, [&] {
    const Weight w = check_weight(qh::copy_sized(weight));
    const DeviceLinear a = linear_of(w, *x, bias, *out, w.columns, w.rows, check_float(*x, "x"));
    if (a.tokens > 0) gpu_kernels::linear(qh::copy_sized(exec).stream, a);
  });
}

qh_status linear_quantized(qh_package* self, const qh_exec* exec, const qh_tensor* x, float x_scale,
                           const qh_quanto_weight* weight, const qh_tensor* bias,
                           const qh_tensor* out) {
  return on_package(self, [&] {
    const Weight w = check_weight(qh::copy_sized(weight));
    if (x->dtype != qh::kInt8 || w.qtype != QType::int8)
      throw Error(QH_ERR_NOT_IMPLEMENTED,
                  "on " QH_KERNEL_TARGET " quantized activations are int8 with int8 weights");
    DeviceLinear a = linear_of(w, *x, bias, *out, w.columns, w.rows, w.dtype);
    a.x_scale = x_scale;
    if (a.tokens > 0) gpu_kernels::linear_int8(qh::copy_sized(exec).stream, a);
  });
}

qh_status backward_input(qh_package* self, const qh_exec* exec, const qh_tensor* grad_output,
                         const qh_quanto_weight* weight, const qh_tensor* grad_input) {
  return on_package(self, [&] {
    const Weight w = check_weight(qh::copy_sized(weight));
    const DeviceLinear a = linear_of(w, *grad_output, nullptr, *grad_input, w.rows, w.columns,
                                     check_float(*grad_output, "grad_output"));
    if (a.tokens > 0) gpu_kernels::backward_input(qh::copy_sized(exec).stream, a);
  });
}

constexpr qh_quanto_kernels kTable = {sizeof(qh_quanto_kernels),
                                      0,
                                      layout,
                                      quantize,
                                      quantize_with,
                                      dequantize,
                                      no_packing,
                                      no_packing,
                                      absmax,
                                      linear,
                                      linear_quantized,
                                      backward_input};

// The package's own state is the host it reports to: one copy for each, kept with the library.
const qh::Host& kept(const qh::Host& host) {
  static std::mutex lock;
  static std::map<qh_host*, qh::Host> hosts;
  const std::lock_guard guard(lock);
  return hosts.try_emplace(host.handle(), host).first->second;
}

class GpuPlugin final : public qh::Plugin {
 public:
  using qh::Plugin::Plugin;

  std::vector<qh::PackageEntry> packages() const override {
    return {{"quanto", "0.2.7", QH_KERNEL_TARGET, QH_QUANTO_KERNELS_ID,
             [](const qh::Host& host, qh_package** self) -> const void* {
               probe();
               *self = reinterpret_cast<qh_package*>(const_cast<qh::Host*>(&kept(host)));
               return &kTable;
             }}};
  }
};

}  // namespace
}  // namespace quanthost::quanto

QH_PLUGIN(quanthost::quanto::GpuPlugin)

// The `auto_gptq` package for cuda, hip and the emulator: the function table over the GPU kernels.
// Compiled once for each, with QH_KERNEL_TARGET saying which.
#include <map>
#include <mutex>
#include <quanthost/plugin.hpp>
#include <string>
#include <vector>

#include "format.hpp"
#include "gpu/kernels.hpp"
#include "package/arguments.hpp"

namespace quanthost::gptq {
namespace {

namespace kernels = gpu_kernels;
using qh::Error;

template <typename Body>
qh_status on_package(qh_package* self, Body&& body) noexcept {
  return reinterpret_cast<const qh::Host*>(self)->guard(std::forward<Body>(body));
}

kernels::Element element(FloatType type) {
  return type == FloatType::f32   ? kernels::Element::f32
         : type == FloatType::f16 ? kernels::Element::f16
                                  : kernels::Element::bf16;
}

kernels::Weight device_weight(const Matrix& w) {
  return {
      w.bits,  element(w.scale_type), w.inputs, w.outputs, w.groups, w.qweight, w.qzeros, w.scales,
      w.g_idx, w.input_order};
}

kernels::Product device_product(const qh_gptq_weight* weight, const qh_gptq_product_args* args) {
  const ProductArgs a = checked_product(checked_weight(weight, Memory::device), args);
  return {device_weight(a.weight),
          element(a.type),
          element(a.bias_type),
          a.input,
          a.bias,
          a.output,
          a.batch};
}

template <typename T>
std::vector<T> host_copy(void* stream, const T* device, std::int64_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  kernels::to_host(stream, values.data(), device, values.size() * sizeof(T));
  return values;
}
template <typename T>
void device_copy(void* stream, T* device, const std::vector<T>& values) {
  kernels::to_device(stream, device, values.data(), values.size() * sizeof(T));
}

qh_status sort_rows(qh_package* self, const qh_exec* exec, const qh_gptq_weight* weight,
                    std::uint32_t* qweight, std::int32_t* g_idx, std::int32_t* input_order) {
  return on_package(self, [&] {
    const Matrix w = checked_weight(weight, Memory::device);
    if (w.input_order) throw Error(QH_ERR_VALUE, "the rows are already sorted");
    if (!qweight || !g_idx || !input_order)
      throw Error(QH_ERR_VALUE, "an output of sort_rows is missing");
    void* stream = qh::copy_sized(exec).stream;
    const std::vector<std::int32_t> groups = host_copy(stream, w.g_idx, w.inputs);
    check_group_index(groups, w.groups);
    const std::vector<std::int32_t> order = rows_by_group(groups, w.groups);
    std::vector<std::int32_t> sorted;
    sorted.reserve(order.size());
    for (std::int32_t row : order) sorted.push_back(groups[static_cast<std::size_t>(row)]);
    device_copy(stream, input_order, order);
    device_copy(stream, g_idx, sorted);
    kernels::gather_rows(stream, device_weight(w), input_order, qweight);
  });
}

qh_status dequantize(qh_package* self, const qh_exec* exec, const qh_gptq_weight* weight,
                     qh_dtype dtype, void* out) {
  return on_package(self, [&] {
    const Matrix w = checked_weight(weight, Memory::device);
    const FloatType type = float_type(dtype, "the dense weight");
    if (!out) throw Error(QH_ERR_VALUE, "the output of dequantize is missing");
    kernels::dequantize(qh::copy_sized(exec).stream, device_weight(w), element(type), out);
  });
}

qh_status forward(qh_package* self, const qh_exec* exec, const qh_gptq_weight* weight,
                  const qh_gptq_product_args* args) {
  return on_package(
      self, [&] { kernels::forward(qh::copy_sized(exec).stream, device_product(weight, args)); });
}

qh_status backward_input(qh_package* self, const qh_exec* exec, const qh_gptq_weight* weight,
                         const qh_gptq_product_args* args) {
  return on_package(self, [&] {
    kernels::backward_input(qh::copy_sized(exec).stream, device_product(weight, args));
  });
}

void check_sizes(std::int64_t rows, std::int64_t columns, std::int64_t group_size) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 30;
  if (rows < 0 || columns < 0 || rows > kLargest || columns > kLargest || group_size <= 0)
    throw Error(QH_ERR_VALUE, "a weight of " + std::to_string(rows) + " x " +
                                  std::to_string(columns) + " in groups of " +
                                  std::to_string(group_size) + " does not fit");
}

kernels::Options checked_options(const qh_gptq_grid_options* theirs) {
  if (!theirs) throw Error(QH_ERR_VALUE, "the options of the grid are missing");
  const qh_gptq_grid_options o = qh::copy_sized(theirs);
  check_bits(o.bits);
  return {o.bits, o.symmetric != 0, o.mse_exponent};
}

qh_status add_to_hessian(qh_package* self, const qh_exec* exec, qh_dtype dtype, const void* inputs,
                         std::int64_t tokens, std::int64_t columns, float keep, float factor,
                         float* hessian) {
  return on_package(self, [&] {
    const FloatType type = float_type(dtype, "the calibration input");
    check_hessian({inputs, type, tokens, columns, keep, factor, hessian, nullptr});
    kernels::add_to_hessian(qh::copy_sized(exec).stream, element(type), inputs, tokens, columns,
                            keep, factor, hessian);
  });
}

qh_status find_grids(qh_package* self, const qh_exec* exec, const qh_gptq_grid_options* options,
                     const float* weight, std::int64_t rows, std::int64_t columns,
                     std::int64_t group_size, float* scales, std::uint8_t* zeros) {
  return on_package(self, [&] {
    const kernels::Options o = checked_options(options);
    check_sizes(rows, columns, group_size);
    if (rows * columns > 0 && (!weight || !scales || !zeros))
      throw Error(QH_ERR_VALUE, "the weight, its scales or its zeros are missing");
    kernels::find_grids(qh::copy_sized(exec).stream, o, weight, rows, columns, group_size, scales,
                        zeros);
  });
}

qh_status sweep(qh_package* self, const qh_exec* abi, const qh_gptq_sweep_args* theirs) {
  return on_package(self, [&] {
    if (!theirs) throw Error(QH_ERR_VALUE, "the arguments are missing");
    const qh_gptq_sweep_args a = qh::copy_sized(theirs);
    check_sizes(a.rows, a.columns, a.group_size);
    if (!a.weight || !a.upper || !a.group_of || !a.scales || !a.zeros || !a.codes || !a.losses)
      throw Error(QH_ERR_VALUE, "an array of the sweep is missing");
    if (a.groups < ceil_div(a.columns, a.group_size))
      throw Error(QH_ERR_VALUE, std::to_string(a.groups) + " groups of " +
                                    std::to_string(a.group_size) + " do not cover " +
                                    std::to_string(a.columns) + " columns");
    const qh::Scratch errors(*abi, static_cast<std::uint64_t>(a.rows) * 128 * sizeof(float));
    kernels::sweep(
        qh::copy_sized(abi).stream,
        {checked_options(a.grid), a.fixed_grids != 0, a.rows, a.columns, a.group_size, a.groups,
         a.weight, a.upper, a.group_of, a.scales, a.zeros, a.codes, a.losses, errors.as<float>()});
  });
}

constexpr qh_gptq_kernels kTable = {
    sizeof(qh_gptq_kernels), 0,          sort_rows, dequantize, forward, backward_input,
    add_to_hessian,          find_grids, sweep};

// The package's own state is the host it reports to: one copy for each, kept with the library.
const qh::Host& kept(const qh::Host& host) {
  static std::mutex lock;
  static std::map<qh_host*, qh::Host> hosts;
  const std::lock_guard guard(lock);
  return hosts.try_emplace(host.handle(), host).first->second;
}

const void* table(const qh::Host& host, qh_package** self) {
  const std::string cause = kernels::why_unavailable();
  if (!cause.empty())
    throw Error(QH_ERR_RUNTIME,
                std::string("auto_gptq for ") + QH_KERNEL_TARGET + " cannot run here: " + cause);
  *self = reinterpret_cast<qh_package*>(const_cast<qh::Host*>(&kept(host)));
  return &kTable;
}

class GpuPlugin final : public qh::Plugin {
 public:
  using qh::Plugin::Plugin;

  std::vector<qh::PackageEntry> packages() const override {
    return {{"auto_gptq", "0.7.1", QH_KERNEL_TARGET, QH_GPTQ_KERNELS_ID, table}};
  }
};

}  // namespace
}  // namespace quanthost::gptq

QH_PLUGIN(quanthost::gptq::GpuPlugin)

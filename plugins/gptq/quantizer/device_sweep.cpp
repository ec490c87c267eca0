// Weight, factor and groups go to the device, in the order of the sweep; codes, scales and zeros
// come back.
#include "quantizer/device_sweep.hpp"

#include "quantizer/host_tensor.hpp"

namespace quanthost::gptq {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

std::vector<float> without(std::span<const float> weight, const PreparedHessian& hessian,
                           std::int64_t rows) {
  std::vector<float> result(weight.begin(), weight.end());
  for (std::int64_t r = 0; r < rows; ++r)
    for (const std::int64_t k : hessian.dead) result[index(r * hessian.columns + k)] = 0.0f;
  return result;
}

std::vector<float> in_sweep_order(const std::vector<float>& weight, const PreparedHessian& hessian,
                                  std::int64_t rows) {
  std::vector<float> steps;
  steps.reserve(weight.size());
  for (std::int64_t r = 0; r < rows; ++r)
    for (const std::int64_t column : hessian.order)
      steps.push_back(weight[index(r * hessian.columns + column)]);
  return steps;
}

template <typename T>
T* data(const qh::Tensor& tensor) {
  return tensor.view().data<T>();
}

}  // namespace

bool can_sweep(const KernelPackage& package) {
  return package.table.find_grids && package.table.sweep;
}

QuantizedLayer quantize_on_device(const qh::Exec& exec, const KernelPackage& package,
                                  std::span<const float> weight, std::int64_t rows,
                                  const PreparedHessian& hessian, const SolverOptions& options) {
  const SweepPlan plan = plan_sweep(weight, rows, hessian, options);
  const std::int64_t columns = hessian.columns;
  const std::vector<float> alive = without(weight, hessian, rows);
  const qh_gptq_grid_options grid{sizeof(grid), options.grid.bits, options.grid.symmetric,
                                  options.grid.mse_exponent};
  const qh::Tensor scales = exec.allocate(qh::kFloat32, {rows, plan.groups});
  const qh::Tensor zeros = exec.allocate(qh::kUint8, {rows, plan.groups});
  if (plan.grids_are_fixed) {
    // As in quantize_layer, one group alone looks at dead columns.
    const float* seen = options.group_size == -1 ? weight.data() : alive.data();
    const qh::Tensor natural = from_host(exec, qh::kFloat32, {rows, columns}, seen);
    qh::check(package.table.find_grids(package.self, exec.abi(), &grid, data<float>(natural), rows,
                                       columns, plan.group_size, data<float>(scales),
                                       data<std::uint8_t>(zeros)));
  }
  const qh::Tensor steps =
      from_host(exec, qh::kFloat32, {rows, columns}, in_sweep_order(alive, hessian, rows).data());
  const qh::Tensor upper = from_host(exec, qh::kFloat32, {columns, columns}, hessian.upper.data());
  const qh::Tensor group_of = from_host(exec, qh::kInt32, {columns}, plan.group_of.data());
  const qh::Tensor codes = exec.allocate(qh::kUint8, {rows, columns});
  const qh::Tensor losses = exec.allocate(qh::kFloat32, {rows});
  const qh_gptq_sweep_args args{sizeof(args),
                                plan.grids_are_fixed,
                                rows,
                                columns,
                                plan.group_size,
                                plan.groups,
                                &grid,
                                data<float>(steps),
                                data<float>(upper),
                                data<std::int32_t>(group_of),
                                data<float>(scales),
                                data<std::uint8_t>(zeros),
                                data<std::uint8_t>(codes),
                                data<float>(losses)};
  qh::check(package.table.sweep(package.self, exec.abi(), &args));
  QuantizedLayer out{rows, columns, plan.groups, {}, {}, {}, plan.g_idx, 0.0};
  out.scales = to_host<float>(exec, *scales.abi(), qh::kFloat32);
  out.zeros = to_host<std::uint8_t>(exec, *zeros.abi(), qh::kUint8);
  for (const float loss : to_host<float>(exec, *losses.abi(), qh::kFloat32)) out.loss += loss;
  const auto swept = to_host<std::uint8_t>(exec, *codes.abi(), qh::kUint8);
  out.codes.resize(swept.size());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < columns; ++i)
      out.codes[index(r * columns + hessian.order[index(i)])] = swept[index(r * columns + i)];
  return out;
}

}  // namespace quanthost::gptq

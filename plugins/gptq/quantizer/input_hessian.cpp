// Sums and products with the Hessian.
#include "quantizer/input_hessian.hpp"

#include <string>

#include "quantizer/host_tensor.hpp"

namespace quanthost::gptq {
namespace {

const qh_linalg_api& linalg(const qh::Exec& exec) {
  return exec.host().need(exec.host().linalg, QH_LINALG_ID);
}

std::vector<float> identity(std::int64_t n) {
  std::vector<float> out(static_cast<std::size_t>(n * n));
  for (std::int64_t i = 0; i < n; ++i) out[static_cast<std::size_t>(i * n + i)] = 1.0f;
  return out;
}

bool lies_on_device_of(qh::TensorView tensor, qh::TensorView other) {
  const qh_device a = tensor.abi()->device, b = other.abi()->device;
  return a.type == b.type && a.id == b.id && tensor.is_contiguous();
}

}  // namespace

InputHessian::InputHessian(const qh::Exec& exec, const KernelPackage& package, std::int64_t columns)
    : package_(package), columns_(columns), sum_(exec.allocate(qh::kFloat32, {columns, columns})) {}

void InputHessian::add(const qh::Exec& exec, qh::TensorView input, std::uint64_t samples) {
  if (input.ndim() != 2 || input.size(1) != columns_)
    throw qh::Error(QH_ERR_VALUE, "the host gave an input of " + std::to_string(input.ndim()) +
                                      " dimensions to a layer of " + std::to_string(columns_) +
                                      " inputs");
  const auto before = static_cast<double>(samples_);
  samples_ += static_cast<std::int64_t>(samples);
  const auto total = static_cast<double>(samples_);
  // The first call overwrites: beta 0 leaves nothing of memory that was never written.
  if (package_.table.add_to_hessian && lies_on_device_of(input, sum_.view())) {
    return qh::check(
        package_.table.add_to_hessian(package_.self, exec.abi(), input.dtype(), input.data<void>(),
                                      input.size(0), columns_, static_cast<float>(before / total),
                                      static_cast<float>(2.0 / total), sum_.view().data<float>()));
  }
  qh::check(linalg(exec).syrk(exec.abi(), 0, 2.0 / total, input.abi(), before / total, sum_.abi()));
}

Hessian InputHessian::for_solver(const qh::Exec& exec) const {
  if (samples_ == 0) return Hessian(columns_, 0, identity(columns_));
  return Hessian(columns_, samples_, to_host<float>(exec, *sum_.abi(), qh::kFloat32));
}

double InputHessian::output_energy(const qh::Exec& exec, const std::vector<float>& rows) const {
  if (samples_ == 0) {
    double sum = 0;
    for (const float value : rows) sum += static_cast<double>(value) * value;
    return sum;
  }
  const auto count = static_cast<std::int64_t>(rows.size()) / columns_;
  const qh::Tensor left = from_host(exec, qh::kFloat32, {count, columns_}, rows.data());
  const qh::Tensor product = exec.allocate(qh::kFloat32, {count, columns_});
  qh::check(linalg(exec).matmul(exec.abi(), 0, 1.0, left.abi(), sum_.abi(), 0.0, product.abi()));
  const auto moved = to_host<float>(exec, *product.abi(), qh::kFloat32);
  double sum = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) sum += static_cast<double>(rows[i]) * moved[i];
  return sum;
}

}  // namespace quanthost::gptq

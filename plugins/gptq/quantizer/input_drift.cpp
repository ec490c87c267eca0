// The difference is taken before it is multiplied: both inputs are large beside it.
#include "quantizer/input_drift.hpp"

#include <algorithm>
#include <string>

#include "quantizer/host_tensor.hpp"

namespace quanthost::gptq {

void InputDrift::add(const qh::Exec& exec, qh::TensorView input, const qh_tensor* original,
                     std::uint64_t samples) {
  samples_ += static_cast<std::int64_t>(samples);
  if (!original) return;
  if (qh::TensorView(*original).shape() != input.shape() || input.ndim() != 2 ||
      input.size(1) != columns_)
    throw qh::Error(QH_ERR_VALUE, "the host gave inputs of different shapes to a layer of " +
                                      std::to_string(columns_) + " inputs");
  const std::vector<float> now = to_host<float>(exec, *input.abi(), qh::kFloat32);
  std::vector<float> drift = to_host<float>(exec, *original, qh::kFloat32);
  for (std::size_t i = 0; i < drift.size(); ++i) drift[i] -= now[i];
  if (std::all_of(drift.begin(), drift.end(), [](float d) { return d == 0.0f; })) return;
  const qh::Tensor left = from_host(exec, qh::kFloat32, input.shape(), drift.data());
  const qh::Tensor right = from_host(exec, qh::kFloat32, input.shape(), now.data());
  if (!sum_) sum_ = exec.allocate(qh::kFloat32, {columns_, columns_});
  const auto total = static_cast<double>(samples_);
  // The first call overwrites: beta 0 leaves nothing of memory that was never written.
  qh::check(exec.host()
                .need(exec.host().linalg, QH_LINALG_ID)
                .matmul(exec.abi(), QH_LINALG_TRANSPOSE_A, 2.0 / total, left.abi(), right.abi(),
                        static_cast<double>(summed_) / total, sum_.abi()));
  summed_ = samples_;
}

std::vector<float> InputDrift::matrix(const qh::Exec& exec) const {
  if (!sum_) return {};
  std::vector<float> out = to_host<float>(exec, *sum_.abi(), qh::kFloat32);
  const float share = static_cast<float>(summed_) / static_cast<float>(samples_);
  if (summed_ != samples_)
    for (float& value : out) value *= share;
  return out;
}

}  // namespace quanthost::gptq

// QuantLinear's parts between the checkpoint's form and the kernels'.
#include <algorithm>

#include "quantizer/host_tensor.hpp"
#include "quantizer/quant_linear.hpp"
#include "quantizer/word_order.hpp"

namespace quanthost::gptq {
namespace {

constexpr StoredAs kReady{WordLayout::continuous, ZeroFormat::v2};

std::vector<std::uint32_t> host_words(const qh::Exec& exec, const qh::Tensor& tensor) {
  return to_host<std::uint32_t>(exec, *tensor.abi(), qh::kInt32);
}

qh::Tensor word_tensor(const qh::Exec& exec, const std::vector<std::uint32_t>& words,
                       std::int64_t rows) {
  const auto count = static_cast<std::int64_t>(words.size());
  return from_host(exec, qh::kInt32, {rows, rows ? count / rows : 0}, words.data());
}

}  // namespace

std::optional<ZeroFormat> QuantLinear::zeros_shown(const qh::Exec& exec) const {
  if (!loaded_.qzeros || spec_.stored.layout == WordLayout::planar) return std::nullopt;
  return symmetric_zero_format(host_words(exec, loaded_.qzeros), spec_.groups, spec_.outputs,
                               spec_.bits);
}

void QuantLinear::finish_loading(const qh::Exec& exec, StoredAs stored) {
  if (!all_loaded()) return;
  Parts parts = std::move(loaded_);
  loaded_ = {};
  if (!parts.g_idx)
    parts.g_idx = from_host(exec, qh::kInt32, {spec_.inputs},
                            consecutive_groups(spec_.inputs, spec_.group_size).data());
  if (words_differ(spec_.bits, stored.layout))
    parts.qweight =
        word_tensor(exec,
                    with_layout(host_words(exec, parts.qweight), spec_.inputs, spec_.outputs,
                                spec_.bits, stored.layout, kReady.layout),
                    words_for(spec_.inputs, spec_.bits));
  if (words_differ(spec_.bits, stored.layout) || stored.zeros != kReady.zeros)
    parts.qzeros = word_tensor(exec,
                               with_zeros_as(host_words(exec, parts.qzeros), spec_.groups,
                                             spec_.outputs, spec_.bits, stored, kReady),
                               spec_.groups);
  spec_.stored = stored;
  ready_ = std::move(parts);
  input_order_.reset(nullptr);
  sort_rows(exec);
}

// Done once: products with activation order then run through one group after the other.
void QuantLinear::sort_rows(const qh::Exec& exec) {
  const auto g_idx = to_host<std::int32_t>(exec, *ready_.g_idx.abi(), qh::kInt32);
  check_group_index(g_idx, spec_.groups);
  if (std::is_sorted(g_idx.begin(), g_idx.end())) return;
  const KernelPackage& package = kernels(exec);
  qh::Tensor words = exec.allocate(qh::kInt32, ready_.qweight.view().shape());
  qh::Tensor groups = exec.allocate(qh::kInt32, {spec_.inputs});
  qh::Tensor order = exec.allocate(qh::kInt32, {spec_.inputs});
  const qh_gptq_weight w = weight();
  qh::check(package.table.sort_rows(package.self, exec.abi(), &w, words.data<std::uint32_t>(),
                                    groups.data<std::int32_t>(), order.data<std::int32_t>()));
  ready_.qweight = std::move(words);
  ready_.g_idx = std::move(groups);
  input_order_ = std::move(order);
}

void QuantLinear::take(const qh::Exec& exec, const PackedLayer& layer) {
  loaded_.qweight = word_tensor(exec, layer.qweight, words_for(spec_.inputs, spec_.bits));
  loaded_.qzeros = word_tensor(exec, layer.qzeros, spec_.groups);
  loaded_.scales =
      from_host(exec, qh::kFloat16, {spec_.groups, spec_.outputs}, layer.scales.data());
  loaded_.g_idx = from_host(exec, qh::kInt32, {spec_.inputs}, layer.g_idx.data());
  const StoredAs written = spec_.stored;
  finish_loading(exec, kReady);
  spec_.stored = written;
}

qh::Tensor QuantLinear::stored_qweight(const qh::Exec& exec,
                                       const std::vector<std::int32_t>& order) const {
  if (order.empty() && !words_differ(spec_.bits, spec_.stored.layout))
    return exec.share(ready_.qweight);
  std::vector<std::uint32_t> words = host_words(exec, ready_.qweight);
  if (!order.empty()) words = unsorted(words, order, spec_.outputs, spec_.bits);
  return word_tensor(exec,
                     with_layout(words, spec_.inputs, spec_.outputs, spec_.bits, kReady.layout,
                                 spec_.stored.layout),
                     words_for(spec_.inputs, spec_.bits, spec_.stored.layout));
}

qh::Tensor QuantLinear::stored_qzeros(const qh::Exec& exec) const {
  if (!words_differ(spec_.bits, spec_.stored.layout) && spec_.stored.zeros == kReady.zeros)
    return exec.share(ready_.qzeros);
  return word_tensor(exec,
                     with_zeros_as(host_words(exec, ready_.qzeros), spec_.groups, spec_.outputs,
                                   spec_.bits, kReady, spec_.stored),
                     spec_.groups);
}

qh::Tensor QuantLinear::stored_g_idx(const qh::Exec& exec,
                                     const std::vector<std::int32_t>& order) const {
  if (order.empty()) return exec.share(ready_.g_idx);
  const auto sorted = to_host<std::int32_t>(exec, *ready_.g_idx.abi(), qh::kInt32);
  std::vector<std::int32_t> g_idx(order.size());
  for (std::size_t row = 0; row < order.size(); ++row)
    g_idx[static_cast<std::size_t>(order[row])] = sorted[row];
  return from_host(exec, qh::kInt32, {spec_.inputs}, g_idx.data());
}

void QuantLinear::state_dict(const qh::Exec& exec, const qh::TensorEmitter& emit) {
  expect_ready();
  std::vector<std::int32_t> order;
  if (input_order_) order = to_host<std::int32_t>(exec, *input_order_.abi(), qh::kInt32);
  emit("qweight", stored_qweight(exec, order));
  emit("qzeros", stored_qzeros(exec));
  emit("scales", exec.share(ready_.scales));
  emit("g_idx", stored_g_idx(exec, order));
  if (bias_) emit("bias", exec.share(bias_));
}

}  // namespace quanthost::gptq

// Dead columns, sweep order, damping and factorization of a Hessian.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <quanthost/plugin/error.hpp>
#include <string>

#include "algorithm/cholesky.hpp"
#include "algorithm/correction.hpp"
#include "algorithm/solver.hpp"

namespace quanthost::gptq {
namespace {

void check_options(const SolverOptions& o) {
  const int bits = o.grid.bits;
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
    throw qh::Error(QH_ERR_VALUE, "bits is " + std::to_string(bits) + "; it is 2, 3, 4 or 8");
  if (o.group_size != -1 && o.group_size <= 0)
    throw qh::Error(QH_ERR_VALUE, "group_size is " + std::to_string(o.group_size) +
                                      "; it is -1 or greater than 0");
  if (!(o.damp_percent > 0.0f && o.damp_percent < 1.0f))
    throw qh::Error(QH_ERR_VALUE, "damp_percent is " + std::to_string(o.damp_percent) +
                                      "; it lies between 0 and 1");
  if (o.desc_act && o.act_group_aware)
    throw qh::Error(QH_ERR_VALUE, "desc_act and act_group_aware exclude each other",
                    "choose one order of columns");
  if (o.gptaq_alpha && o.act_group_aware)
    throw qh::Error(QH_ERR_VALUE, "gptaq and act_group_aware exclude each other",
                    "leave act_group_aware out");
  if (o.gptaq_alpha && !std::isfinite(*o.gptaq_alpha))
    throw qh::Error(QH_ERR_VALUE, "gptaq: alpha is no finite number");
}

using Order = std::vector<std::int64_t>;

template <typename Key>
void sort_descending(Order::iterator begin, Order::iterator end, Key&& key) {
  std::stable_sort(begin, end, [&](std::int64_t a, std::int64_t b) { return key(a) > key(b); });
}

// Full groups by their largest diagonal, columns of a group by theirs; a short last group stays.
Order group_aware_order(const std::vector<float>& diagonal, std::int64_t group_size) {
  const auto columns = static_cast<std::int64_t>(diagonal.size());
  const auto value = [&](std::int64_t k) { return diagonal[static_cast<std::size_t>(k)]; };
  Order natural(diagonal.size());
  std::iota(natural.begin(), natural.end(), 0);
  if (group_size < 0) return natural;
  for (std::int64_t g = 0; g < columns / group_size; ++g)
    sort_descending(natural.begin() + g * group_size, natural.begin() + (g + 1) * group_size,
                    value);
  Order groups(static_cast<std::size_t>(columns / group_size));
  std::iota(groups.begin(), groups.end(), 0);
  const auto first_of = [&](std::int64_t g) { return natural.begin() + g * group_size; };
  sort_descending(groups.begin(), groups.end(),
                  [&](std::int64_t g) { return value(*first_of(g)); });
  Order order;
  for (std::int64_t g : groups) order.insert(order.end(), first_of(g), first_of(g) + group_size);
  order.insert(order.end(), first_of(columns / group_size), natural.end());
  return order;
}

Order sweep_order(const std::vector<float>& diagonal, const SolverOptions& options) {
  if (options.act_group_aware) return group_aware_order(diagonal, options.group_size);
  Order order(diagonal.size());
  std::iota(order.begin(), order.end(), 0);
  if (options.desc_act)
    sort_descending(order.begin(), order.end(),
                    [&](std::int64_t k) { return diagonal[static_cast<std::size_t>(k)]; });
  return order;
}

std::vector<float> permuted(std::span<const float> h, const Order& order) {
  const auto n = static_cast<std::int64_t>(order.size());
  std::vector<float> result(h.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      result[static_cast<std::size_t>(i * n + j)] = h[static_cast<std::size_t>(
          order[static_cast<std::size_t>(i)] * n + order[static_cast<std::size_t>(j)])];
  return result;
}

// Tries one damping after the other: upstream's additive grid below 1, then floors on top of the
// last one.
class Factorization {
 public:
  Factorization(std::vector<float> h, std::int64_t n, const ParallelFor& parallel_for)
      : h_(std::move(h)), n_(n), parallel_for_(parallel_for) {
    for (std::int64_t i = 0; i < n; ++i) diagonal_.push_back(h_[at(i)]);
    mean_ = static_cast<float>(std::accumulate(diagonal_.begin(), diagonal_.end(), 0.0) /
                               static_cast<double>(n));
  }

  void run(const SolverOptions& options, PreparedHessian& out) {
    out.damp_percent = options.damp_percent;
    out.diagonal_floor = 0.0f;
    if (try_factor(out)) return;
    if (options.damp_increment > 0.0f) {
      for (int step = 1;; ++step) {
        const float percent =
            options.damp_percent + static_cast<float>(step) * options.damp_increment;
        if (percent >= 1.0f) break;
        out.damp_percent = percent;
        if (try_factor(out)) return;
      }
      out.diagonal_floor = *std::max_element(diagonal_.begin(), diagonal_.end()) * 1e-6f;
      for (int attempt = 0; attempt < 6; ++attempt, out.diagonal_floor *= 10.0f)
        if (try_factor(out)) return;
    }
    throw qh::Error(QH_ERR_RUNTIME,
                    "the Hessian of " + std::to_string(n_) +
                        " inputs is not positive definite with damp_percent " +
                        std::to_string(out.damp_percent),
                    "raise damp_percent, or calibrate with more and other samples");
  }

 private:
  std::size_t at(std::int64_t i) const { return static_cast<std::size_t>(i * n_ + i); }

  bool try_factor(PreparedHessian& out) {
    for (std::int64_t i = 0; i < n_; ++i)
      h_[at(i)] =
          diagonal_[static_cast<std::size_t>(i)] + out.damp_percent * mean_ + out.diagonal_floor;
    auto upper = inverse_upper_factor(h_, n_, parallel_for_);
    if (!upper) return false;
    out.upper = std::move(*upper);
    return true;
  }

  std::vector<float> h_;
  std::int64_t n_;
  const ParallelFor& parallel_for_;
  std::vector<float> diagonal_;
  float mean_;
};

}  // namespace

PreparedHessian prepare(const Hessian& hessian, const SolverOptions& options,
                        const ParallelFor& parallel_for, std::span<const float> drift) {
  check_options(options);
  PreparedHessian result{};
  const std::int64_t n = result.columns = hessian.columns();
  std::vector<float> h = hessian.matrix(), diagonal;
  for (std::int64_t k = 0; k < n; ++k) {
    float& value = h[static_cast<std::size_t>(k * n + k)];
    if (value == 0.0f) {
      result.dead.push_back(k);
      value = 1.0f;
    }
    diagonal.push_back(value);
  }
  result.order = sweep_order(diagonal, options);
  Factorization(permuted(h, result.order), n, parallel_for).run(options, result);
  if (options.gptaq_alpha && !drift.empty())
    result.correction = correction_of(permuted(drift, result.order), result.upper, n,
                                      *options.gptaq_alpha, parallel_for);
  return result;
}

}  // namespace quanthost::gptq

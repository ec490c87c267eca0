#include "host/model/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace quanthost::model {
namespace {

struct Candidate {
  std::int64_t token;
  double chance;
};

// Likeliest first; only those that top_k leaves.
std::vector<Candidate> candidates(const std::vector<float>& logits,
                                  const GenerationOptions& options) {
  std::vector<std::int64_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto all = static_cast<std::int64_t>(order.size());
  const std::int64_t kept = options.top_k > 0 ? std::min(options.top_k, all) : all;
  const auto likelier = [&](std::int64_t a, std::int64_t b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  };
  std::partial_sort(order.begin(), order.begin() + kept, order.end(), likelier);
  const double largest = logits[static_cast<std::size_t>(order.front())];
  std::vector<Candidate> result;
  for (std::int64_t place = 0; place < kept; ++place) {
    const double logit = logits[static_cast<std::size_t>(order[static_cast<std::size_t>(place)])];
    result.push_back({order[static_cast<std::size_t>(place)],
                      std::exp((logit - largest) / options.temperature)});
  }
  return result;
}

double total(const std::vector<Candidate>& list) {
  return std::accumulate(list.begin(), list.end(), 0.0,
                         [](double sum, const Candidate& c) { return sum + c.chance; });
}

// The fewest candidates whose chances reach top_p.
void keep_top_p(std::vector<Candidate>& list, double top_p) {
  if (top_p >= 1.0) return;
  const double wanted = top_p * total(list);
  double sum = 0.0;
  std::size_t kept = 0;
  while (kept < list.size() && (kept == 0 || sum < wanted)) sum += list[kept++].chance;
  list.resize(kept);
}

}  // namespace

std::int64_t Sampler::next(std::vector<float>& logits, const std::vector<std::int64_t>& seen) {
  if (options_.repetition_penalty != 1.0) penalize(logits, seen);
  if (options_.sample) return draw(logits);
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

void Sampler::penalize(std::vector<float>& logits, const std::vector<std::int64_t>& seen) const {
  const auto penalty = static_cast<float>(options_.repetition_penalty);
  for (std::int64_t token : std::set<std::int64_t>(seen.begin(), seen.end())) {
    float& logit = logits[static_cast<std::size_t>(token)];
    logit = logit < 0.0f ? logit * penalty : logit / penalty;
  }
}

std::int64_t Sampler::draw(const std::vector<float>& logits) {
  std::vector<Candidate> list = candidates(logits, options_);
  keep_top_p(list, options_.top_p);
  double rest = std::uniform_real_distribution<double>(0.0, total(list))(random_);
  for (const Candidate& candidate : list) {
    rest -= candidate.chance;
    if (rest < 0.0) return candidate.token;
  }
  return list.back().token;  // rounding used up the last bit
}

}  // namespace quanthost::model

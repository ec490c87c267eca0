#include "host/model/perplexity.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>

#include "host/base/error.hpp"

namespace quanthost::model {
namespace {

constexpr std::int64_t kLogitRows = 256;  // rows of logits that are float64 at a time

struct Sums {
  double nll = 0.0;
  double squares = 0.0;
  std::int64_t count = 0;
};

// Scores the last `scored` targets of a window from the logits that precede them.
void score(const at::Tensor& logits, const at::Tensor& ids, std::int64_t scored, Sums& sums) {
  const std::int64_t length = ids.size(1);
  for (std::int64_t begin = length - scored; begin < length; begin += kLogitRows) {
    const std::int64_t count = std::min(kLogitRows, length - begin);
    const at::Tensor rows = logits[0].narrow(0, begin - 1, count).to(at::kCPU, at::kDouble);
    const at::Tensor targets = ids[0].narrow(0, begin, count).unsqueeze(1);
    const at::Tensor nll = rows.logsumexp(1) - rows.gather(1, targets).squeeze(1);
    sums.nll += nll.sum().item<double>();
    sums.squares += nll.square().sum().item<double>();
    sums.count += count;
  }
}

Perplexity summarize(const Sums& sums) {
  const auto count = static_cast<double>(sums.count);
  const double mean = sums.nll / count;
  const double variance =
      sums.count > 1 ? std::max(0.0, (sums.squares - count * mean * mean) / (count - 1.0)) : 0.0;
  const double perplexity = std::exp(mean);
  return {sums.nll, sums.count, perplexity, perplexity * std::sqrt(variance / count)};
}

}  // namespace

Perplexity perplexity(Model& model, const std::vector<std::int64_t>& tokens,
                      const PerplexityOptions& options, const ByteProgress& progress) {
  const auto total = static_cast<std::int64_t>(tokens.size());
  const std::int64_t window = std::min(options.window, model.config().max_positions);
  const std::int64_t stride = options.stride > 0 ? options.stride : window;
  if (total < 2)
    fail(ErrorKind::kValue, "perplexity needs at least two tokens, the text has {}", total);
  if (window < 2 || stride > window) {
    fail(ErrorKind::kValue,
         "perplexity: window {} and stride {}; a window of 2 or more and a stride within it are "
         "needed",
         window, stride);
  }
  const c10::InferenceMode no_gradients;
  const at::Tensor all = at::tensor(tokens, at::kLong).unsqueeze(0);
  Sums sums;
  std::int64_t scored_to =
      0;  // tokens before this one are done; the first has nothing that predicts it
  for (std::int64_t begin = 0; scored_to < total; begin += stride) {
    const std::int64_t end = std::min(begin + window, total);
    const std::int64_t scored = std::min(end - scored_to, end - begin - 1);
    const at::Tensor ids = all.narrow(1, begin, end - begin);
    if (scored > 0) score(model.forward({.input_ids = ids}), ids, scored, sums);
    scored_to = end;
    report(progress, static_cast<std::uint64_t>(scored_to), static_cast<std::uint64_t>(total));
  }
  return summarize(sums);
}

}  // namespace quanthost::model

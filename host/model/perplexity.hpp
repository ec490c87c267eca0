// How well a model predicts a text: windows over its tokens, each token scored once.
#pragma once

#include "host/base/progress.hpp"
#include "host/model/model.hpp"

namespace quanthost::model {

struct PerplexityOptions {
  std::int64_t window = 2048;  // tokens a forward sees; capped by the model's positions
  std::int64_t stride = 0;     // tokens from one window to the next; 0: the window, so no token has
                               // context of the last one
};

struct Perplexity {
  double nll_sum = 0.0;     // natural logarithm
  std::int64_t tokens = 0;  // scored: all but the first
  double perplexity = 0.0;
  double standard_error = 0.0;  // of the perplexity
};

// As transformers' guide to perplexity does it. Throws kValue for fewer than two tokens, kCancelled
// when `progress` (tokens) says so.
Perplexity perplexity(Model& model, const std::vector<std::int64_t>& tokens,
                      const PerplexityOptions& options, const ByteProgress& progress = {});

}  // namespace quanthost::model

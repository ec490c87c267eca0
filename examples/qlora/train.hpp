// The training loop: next-token loss over windows of a text, AdamW on the adapters alone.
#pragma once

#include <functional>

#include "examples/qlora/lora.hpp"
#include "host/model/model.hpp"

namespace quanthost::qlora {

struct TrainOptions {
  std::int64_t steps = 60;
  std::int64_t batch = 4;
  std::int64_t window = 64;  // tokens of a sample
  double learning_rate = 1e-3;
  std::uint64_t seed = 0;
};

using OnStep = std::function<void(std::int64_t step, double loss)>;

// Mean loss of predicting each token of `ids` ([batch, tokens]) but the first; carries a gradient
// where one is recorded.
at::Tensor next_token_loss(model::Model& model, const at::Tensor& ids);

// Each step takes `batch` windows that begin at random places of `tokens`. Throws kValue when the
// text is shorter than a window. Gives the loss of each step.
std::vector<double> train(model::Model& model, const std::vector<Adapter>& adapters,
                          const std::vector<std::int64_t>& tokens, const TrainOptions& options,
                          const OnStep& on_step = {});

}  // namespace quanthost::qlora

#include "examples/qlora/train.hpp"

#include <torch/nn/functional/loss.h>
#include <torch/optim/adamw.h>

#include <random>

#include "host/base/error.hpp"

namespace quanthost::qlora {
namespace {

// Windows that begin at random places.
at::Tensor next_batch(const at::Tensor& tokens, const TrainOptions& options,
                      std::mt19937_64& random) {
  std::uniform_int_distribution<std::int64_t> places(0, tokens.size(0) - options.window);
  std::vector<at::Tensor> rows;
  for (std::int64_t i = 0; i < options.batch; ++i)
    rows.push_back(tokens.narrow(0, places(random), options.window));
  return at::stack(rows);
}

}  // namespace

at::Tensor next_token_loss(model::Model& model, const at::Tensor& ids) {
  const at::Tensor logits = model.forward({.input_ids = ids}).to(at::kFloat);
  const std::int64_t tokens = ids.size(1);
  return torch::nn::functional::cross_entropy(logits.narrow(1, 0, tokens - 1).flatten(0, 1),
                                              ids.narrow(1, 1, tokens - 1).flatten());
}

std::vector<double> train(model::Model& model, const std::vector<Adapter>& adapters,
                          const std::vector<std::int64_t>& tokens, const TrainOptions& options,
                          const OnStep& on_step) {
  if (static_cast<std::int64_t>(tokens.size()) < options.window)
    fail(ErrorKind::kValue, "the text has {} tokens, a sample needs {}", tokens.size(),
         options.window);
  std::vector<at::Tensor> trained;
  for (const Adapter& adapter : adapters) {
    trained.push_back(adapter.layer->a());
    trained.push_back(adapter.layer->b());
  }
  torch::optim::AdamW optimizer(
      trained, torch::optim::AdamWOptions(options.learning_rate).weight_decay(0.0));
  const at::Tensor all = at::tensor(tokens, at::kLong);
  std::mt19937_64 random(options.seed);
  std::vector<double> losses;
  for (std::int64_t step = 0; step < options.steps; ++step) {
    optimizer.zero_grad();
    const at::Tensor loss = next_token_loss(model, next_batch(all, options, random));
    loss.backward();
    optimizer.step();
    losses.push_back(loss.item<double>());
    if (on_step) on_step(step, losses.back());
  }
  return losses;
}

}  // namespace quanthost::qlora

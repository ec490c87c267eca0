#include "host/model/experts.hpp"

#include <ATen/ATen.h>

namespace quanthost::model {
namespace {

std::shared_ptr<Layer> expert_linear(std::int64_t in, std::int64_t out,
                                     const at::TensorOptions& options) {
  return std::make_shared<Linear>(in, out, /*bias=*/false, options);
}

}  // namespace

Expert::Expert(const ModelConfig& config, const at::TensorOptions& options)
    : Layer(std::string(config.family->class_prefix) + "BlockSparseTop2MLP") {
  gate_ = add("w1", expert_linear(config.hidden_size, config.intermediate_size, options));
  down_ = add("w2", expert_linear(config.intermediate_size, config.hidden_size, options));
  up_ = add("w3", expert_linear(config.hidden_size, config.intermediate_size, options));
  activation_ = add<Layer>("act_fn", std::make_shared<Activation>(config.activation));
}

at::Tensor Expert::forward(const at::Tensor& input) {
  return (*down_)((*activation_)((*gate_)(input)) * (*up_)(input));
}

SparseExperts::SparseExperts(const ModelConfig& config, const at::TensorOptions& options)
    : Layer(std::string(config.family->class_prefix) + "SparseMoeBlock"),
      used_(config.integer("num_experts_per_tok", 2)) {
  const std::int64_t count = config.integer("num_local_experts", 8);
  router_ = add("gate", expert_linear(config.hidden_size, count, options));
  auto experts = std::make_shared<ModuleList<Expert>>();
  for (std::int64_t expert = 0; expert < count; ++expert) {
    experts->push_back(std::make_shared<Expert>(config, options));
  }
  experts_ = add("experts", std::move(experts));
}

at::Tensor SparseExperts::forward(const at::Tensor& input) {
  const at::Tensor tokens = input.reshape({-1, input.size(-1)});
  const at::Tensor chances = at::softmax((*router_)(tokens), -1, at::kFloat);
  auto [weights, chosen] = chances.topk(used_, -1);
  weights = weights / weights.sum(-1, true);
  // One place a token and rank, added up in float32 and rounded once.
  at::Tensor weighted = at::empty({tokens.size(0), used_, tokens.size(1)}, weights.options());
  for (std::size_t expert = 0; expert < experts_->size(); ++expert) {
    const auto places = (chosen == static_cast<std::int64_t>(expert)).nonzero().unbind(1);
    const at::Tensor& rows = places[0];
    if (rows.numel() == 0) continue;
    const at::Tensor computed = (*experts_)[expert](tokens.index_select(0, rows));
    const at::Tensor share = weights.index({rows, places[1]}).unsqueeze(-1);
    weighted.index_put_({rows, places[1]}, computed * share);
  }
  return weighted.sum(1).to(input.scalar_type()).view(input.sizes());
}

}  // namespace quanthost::model

// Rotary position embedding: inverse frequencies for each scaling rule, and their use on queries
// and keys.
#pragma once

#include "host/model/config.hpp"
#include "host/model/module.hpp"

namespace quanthost::model {

class RotaryEmbedding : public Module {
 public:
  RotaryEmbedding(const ModelConfig& config, std::string class_name);

  // cos and sin of the angles at `position_ids` [batch, tokens]: [batch, tokens, rotary dim] each.
  std::pair<at::Tensor, at::Tensor> angles(const at::Tensor& position_ids, at::ScalarType dtype);

 private:
  at::Tensor frequencies(double theta) const;
  at::Tensor frequencies_for_length(std::int64_t length) const;

  RopeConfig rope_;
  std::int64_t dim_;
  std::int64_t max_positions_;
  at::Tensor inv_freq_;  // float32 on the CPU; the same tensor as the buffer
};

// Rotates the first cos.size(-1) entries of each head of [batch, heads, tokens, head_dim].
at::Tensor rotate(const at::Tensor& states, const at::Tensor& cos, const at::Tensor& sin);

}  // namespace quanthost::model

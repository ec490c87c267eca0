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
  // Dynamic frequencies are those for `length` positions; 0: for as many as position_ids need.
  std::pair<at::Tensor, at::Tensor> angles(const at::Tensor& position_ids, at::ScalarType dtype,
                                           std::int64_t length = 0) const;
  bool dynamic() const { return rope_.type == "dynamic"; }

 private:
  at::Tensor frequencies(double theta) const;
  at::Tensor frequencies_for_length(std::int64_t length) const;

  RopeConfig rope_;
  std::int64_t dim_;
  std::int64_t max_positions_;
  at::Tensor inv_freq_;  // float32 on the CPU; the same tensor as the buffer
};

// In transformers a model with dynamic frequencies remembers its longest input: one that follows is
// rotated with the frequencies of that length, until an input that the model was trained for brings
// the first ones back. This tells the length that counts for each of several inputs in a row.
class DynamicRopeLength {
 public:
  explicit DynamicRopeLength(std::int64_t trained_length)
      : trained_(trained_length), kept_(trained_length) {}
  std::int64_t next(std::int64_t length);

 private:
  const std::int64_t trained_;
  std::int64_t kept_;
};

// Rotates the first cos.size(-1) entries of each head of [batch, heads, tokens, head_dim].
at::Tensor rotate(const at::Tensor& states, const at::Tensor& cos, const at::Tensor& sin);

}  // namespace quanthost::model

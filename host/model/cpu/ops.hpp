// The CPU kernels on tensors, spread over LibTorch's threads. Callers ask fits() first.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "host/model/attention.hpp"

namespace quanthost::model::cpu {

// On the CPU, contiguous, float32, bfloat16 or float16, and nobody records gradients.
bool fits(const at::Tensor& tensor);
// The same, and few enough tokens that reading the weights is what takes the time.
bool few_rows(const at::Tensor& input, const at::Tensor& weight);

// Whether weights stored in one type are values of the other as they are: a float32 layer may keep
// them so and widen them as it reads them, with the same results from half the bytes.
bool widens(at::ScalarType stored, at::ScalarType compute);
// The weight in float32. On the CPU without autograd its memory is used again by the thread's next
// call.
at::Tensor widened(const at::Tensor& weight);
// Whether float16 of this tensor is multiplied faster in float32, and nobody records gradients: a
// CPU that does not multiply float16 itself does it element by element in LibTorch. Products are
// summed in float32 either way, and rounded once.
bool better_in_float32(const at::Tensor& tensor);

struct Weights {
  at::Tensor weight;  // [out, in], in the type of the input or one that widens to it
  at::Tensor bias;    // undefined: none
};

// input [..., in] times each of the weights, in one go. few_rows() must hold.
std::vector<at::Tensor> linear(const at::Tensor& input, const std::vector<Weights>& weights);
// silu(input · gate) * (input · up); gate and up are of one type
at::Tensor gated_linear(const at::Tensor& input, const at::Tensor& gate, const at::Tensor& up);

struct NormSpec {
  at::Tensor weight;
  double eps;
  bool one_plus_weight;
};
at::Tensor rms_norm(const at::Tensor& input, const NormSpec& spec);
// {input + delta, its norm}
std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& input, const at::Tensor& delta,
                                               const NormSpec& spec);

// Turns each head of states [batch, tokens, heads * head_dim] by cos and sin [batch or 1, tokens,
// rotary dim], all of one dtype; fits() must hold for all three.
at::Tensor rotate(const at::Tensor& states, const at::Tensor& cos, const at::Tensor& sin,
                  std::int64_t head_dim);

// One new token a row against the cache, which it joins. query [batch, 1, heads * head_dim] is
// overwritten; cos and sin [batch or 1, 1, rotary dim] may be undefined. Gives [batch, 1, heads *
// head_dim].
at::Tensor attention_step(at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                          const at::Tensor& cos, const at::Tensor& sin, const AttentionShape& shape,
                          KvCache& cache, std::int64_t layer);

}  // namespace quanthost::model::cpu

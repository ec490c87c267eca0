// Attention as all families share it: masks, grouped heads, soft caps, and the cache.
#pragma once

#include "host/model/kv_cache.hpp"

namespace quanthost::model {

// What all blocks of one forward share. `Model::prepare` fills it; block i may be run with it any
// number of times.
struct BlockInputs {
  at::Tensor mask;  // added to the scores, [batch or 1, 1, queries, keys]; undefined: see `causal`
  at::Tensor sliding_mask;  // the same for layers that look back a limited way
  bool causal = false;      // without a mask: query t sees keys 0..t
  at::Tensor position_ids;  // [batch or 1, queries], int64
  at::Tensor cos;  // rotary embedding, [batch or 1, queries, rotary dim], in the dtype of the
                   // hidden states
  at::Tensor sin;
  KvCache* cache = nullptr;
  bool step = false;  // one new token a row on the CPU without autograd: the fused kernels apply
};

struct AttentionShape {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  double scale = 1.0;
  double softcap = 0.0;     // 0: none
  std::int64_t window = 0;  // 0: all
};

// query [batch, heads, queries, head_dim], key and value [batch, kv_heads, queries, head_dim],
// already rotated. Appends to the cache when there is one. Gives [batch, queries, heads *
// head_dim].
at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                  const AttentionShape& shape, const BlockInputs& inputs, std::int64_t layer);

struct MaskRequest {
  std::int64_t batch = 1;
  std::int64_t queries = 0;
  std::int64_t past = 0;           // tokens before the first query
  at::Tensor attention_mask = {};  // [batch, past + queries], 1 for a token and 0 for padding;
                                   // undefined: no padding
  bool causal = true;
  std::int64_t window = 0;         // 0: all
  at::TensorOptions options = {};  // of the hidden states
};

// Undefined when attention needs no mask besides `causal`.
at::Tensor additive_mask(const MaskRequest& request);

// [batch, tokens, heads * head_dim] → [batch, heads, tokens, head_dim]
at::Tensor split_heads(const at::Tensor& states, std::int64_t head_dim);

}  // namespace quanthost::model

#include "host/model/attention.hpp"

#include <ATen/ATen.h>

#include <limits>

#include "host/model/cpu/ops.hpp"

namespace quanthost::model {
namespace {

// [batch, kv_heads, keys, dim] → [batch, heads, keys, dim]: each key-value head serves a group of
// query heads.
at::Tensor for_each_query_head(const at::Tensor& states, std::int64_t group) {
  if (group == 1) return states;
  const auto sizes = states.sizes();
  return states.unsqueeze(2)
      .expand({sizes[0], sizes[1], group, sizes[2], sizes[3]})
      .reshape({sizes[0], sizes[1] * group, sizes[2], sizes[3]});
}

double lowest_finite(const at::TensorOptions& options) {
  switch (c10::typeMetaToScalarType(options.dtype())) {
    case at::kHalf:
      return static_cast<double>(std::numeric_limits<at::Half>::lowest());
    case at::kBFloat16:
      return static_cast<double>(std::numeric_limits<at::BFloat16>::lowest());
    default:
      return static_cast<double>(std::numeric_limits<float>::lowest());
  }
}

at::Tensor causal_scores_mask(std::int64_t queries, std::int64_t keys,
                              const at::TensorOptions& options) {
  return at::full({queries, keys}, -std::numeric_limits<float>::infinity(), options)
      .triu(keys - queries + 1);
}

at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  if (!cpu::better_in_float32(a)) return at::matmul(a, b);
  return at::matmul(a.to(at::kFloat), b.to(at::kFloat)).to(at::kHalf);
}

// With a soft cap the scores themselves are needed, so the fused attention of LibTorch cannot be
// used.
at::Tensor capped_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const at::Tensor& mask, bool causal, const AttentionShape& shape) {
  at::Tensor scores = product(query, key.transpose(2, 3)) * shape.scale;
  scores = at::tanh(scores / shape.softcap) * shape.softcap;
  if (mask.defined()) {
    // The softmax of a row that sees nothing stays free of NaN, again as in transformers.
    scores = scores + mask.clamp_min(lowest_finite(mask.options()));
  } else if (causal) {
    scores = scores + causal_scores_mask(scores.size(2), scores.size(3), scores.options());
  }
  return product(at::softmax(scores, -1, at::kFloat).to(query.scalar_type()), value);
}

at::Tensor fused_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           const at::Tensor& mask, bool causal, bool grouped, double scale) {
  if (cpu::better_in_float32(query)) {
    const auto wide = [](const at::Tensor& x) { return x.defined() ? x.to(at::kFloat) : x; };
    return fused_attention(wide(query), wide(key), wide(value), wide(mask), causal, grouped, scale)
        .to(at::kHalf);
  }
  return at::scaled_dot_product_attention(query, key, value,
                                          mask.defined() ? std::optional(mask) : std::nullopt, 0.0,
                                          causal, scale, grouped);
}

}  // namespace

at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                  const AttentionShape& shape, const BlockInputs& inputs, std::int64_t layer) {
  if (inputs.step) {  // no masks were made: the kernel knows each row's padding and the window
    const auto merged = [](const at::Tensor& heads) {
      return heads.transpose(1, 2).contiguous().flatten(2);
    };
    at::Tensor flat_query = merged(query);
    return cpu::attention_step(flat_query, merged(key), merged(value), {}, {}, shape, *inputs.cache,
                               layer);
  }
  at::Tensor keys = key;
  at::Tensor values = value;
  if (inputs.cache) std::tie(keys, values) = inputs.cache->append(layer, key, value);
  const at::Tensor& mask = shape.window > 0 ? inputs.sliding_mask : inputs.mask;
  const bool causal = inputs.causal && !mask.defined();
  const std::int64_t group = shape.heads / shape.kv_heads;
  // Without a mask LibTorch's fused attention serves groups by itself.
  const bool grouped = group > 1 && !mask.defined() && shape.softcap <= 0.0;
  if (!grouped) {
    keys = for_each_query_head(keys, group);
    values = for_each_query_head(values, group);
  }
  const at::Tensor attended =
      shape.softcap > 0.0
          ? capped_attention(query, keys, values, mask, causal, shape)
          : fused_attention(query, keys, values, mask, causal, grouped, shape.scale);
  return attended.transpose(1, 2).reshape(
      {query.size(0), query.size(2), shape.heads * shape.head_dim});
}

at::Tensor additive_mask(const MaskRequest& request) {
  const std::int64_t keys = request.past + request.queries;
  const bool padded =
      request.attention_mask.defined() && !request.attention_mask.to(at::kBool).all().item<bool>();
  const bool limited = request.window > 0 && keys > request.window;
  const bool continues =
      request.past > 0 && request.queries > 1;  // a plain causal mask would be off by `past`
  if (!padded && !limited && !(request.causal && continues)) return {};

  const at::TensorOptions integers = request.options.dtype(at::kLong);
  const at::Tensor key_place = at::arange(keys, integers).view({1, 1, 1, keys});
  const at::Tensor query_place =
      at::arange(request.past, keys, integers).view({1, 1, request.queries, 1});
  at::Tensor seen = at::ones({1, 1, request.queries, keys}, request.options.dtype(at::kBool));
  if (request.causal) seen = seen.logical_and(key_place <= query_place);
  if (limited) seen = seen.logical_and(key_place > query_place - request.window);
  if (padded) {
    seen = seen.logical_and(request.attention_mask.to(request.options.device(), at::kBool)
                                .view({request.batch, 1, 1, keys}));
  }
  // The row of a padding token sees nothing: LibTorch's attention makes zeros of it, as it does in
  // transformers.
  return at::zeros(seen.sizes(), request.options)
      .masked_fill_(seen.logical_not(), -std::numeric_limits<double>::infinity());
}

at::Tensor split_heads(const at::Tensor& states, std::int64_t head_dim) {
  return states.view({states.size(0), states.size(1), -1, head_dim}).transpose(1, 2);
}

}  // namespace quanthost::model

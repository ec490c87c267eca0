#include "host/model/kv_cache.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>

namespace quanthost::model {

KvCache::KvCache(const ModelConfig& config, std::int64_t batch, std::int64_t capacity,
                 const at::TensorOptions& options)
    : batch_(batch), capacity_(capacity), first_token_(static_cast<std::size_t>(batch), 0) {
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    keys_.push_back(at::empty({batch, config.kv_heads, capacity, config.head_dim}, options));
    values_.push_back(at::empty({batch, config.kv_heads, capacity, config.head_dim}, options));
  }
}

std::int64_t KvCache::bytes() const {
  std::int64_t total = 0;
  for (const at::Tensor& tensor : keys_) total += 2 * static_cast<std::int64_t>(tensor.nbytes());
  return total;
}

std::pair<at::Tensor, at::Tensor> KvCache::append(std::int64_t layer, const at::Tensor& keys,
                                                  const at::Tensor& values) {
  const std::int64_t added = keys.size(2);
  need_room(added);
  at::Tensor& all_keys = this->keys(layer);
  at::Tensor& all_values = this->values(layer);
  if (all_keys.device() != keys.device()) {  // the layer computes elsewhere than the embeddings
    all_keys = all_keys.to(keys.device());
    all_values = all_values.to(keys.device());
  }
  all_keys.narrow(2, length_, added).copy_(keys);
  all_values.narrow(2, length_, added).copy_(values);
  return {all_keys.narrow(2, 0, length_ + added), all_values.narrow(2, 0, length_ + added)};
}

void KvCache::need_room(std::int64_t tokens) const {
  if (length_ + tokens > capacity_) {
    fail(ErrorKind::kValue,
         "the key-value cache has room for {} tokens; it holds {} and {} more were given",
         capacity_, length_, tokens);
  }
}

void KvCache::advance(std::int64_t tokens) {
  need_room(tokens);
  length_ += tokens;
}

void KvCache::truncate(std::int64_t length) {
  length_ = std::clamp<std::int64_t>(length, 0, length_);
}

void KvCache::set_first_token(std::vector<std::int64_t> first) {
  if (static_cast<std::int64_t>(first.size()) != batch_) {
    fail(ErrorKind::kValue, "padding was given for {} rows, the key-value cache has {}",
         first.size(), batch_);
  }
  first_token_ = std::move(first);
  padded_ = std::ranges::any_of(first_token_, [](std::int64_t token) { return token > 0; });
}

}  // namespace quanthost::model

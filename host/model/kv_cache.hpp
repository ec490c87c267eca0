// The keys and values of the tokens seen so far: one preallocated block of memory a layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

#include "host/model/config.hpp"

namespace quanthost::model {

class KvCache {
 public:
  // Room for `capacity` tokens in each of `batch` rows.
  KvCache(const ModelConfig& config, std::int64_t batch, std::int64_t capacity,
          const at::TensorOptions& options);

  std::int64_t batch() const { return batch_; }
  std::int64_t capacity() const { return capacity_; }
  std::int64_t length() const { return length_; }  // tokens that all layers hold
  std::int64_t bytes() const;

  // Stores [batch, kv_heads, new, head_dim] behind the tokens held and gives views of all, the new
  // ones included. Every layer does this once, then advance() counts the new tokens.
  std::pair<at::Tensor, at::Tensor> append(std::int64_t layer, const at::Tensor& keys,
                                           const at::Tensor& values);
  void advance(std::int64_t tokens);
  void truncate(std::int64_t length);  // forgets the tokens from `length` on
  // Throws kValue when `tokens` more do not fit.
  void need_room(std::int64_t tokens) const;

  // [batch, kv_heads, capacity, head_dim], contiguous.
  at::Tensor& keys(std::int64_t layer) { return keys_[static_cast<std::size_t>(layer)]; }
  at::Tensor& values(std::int64_t layer) { return values_[static_cast<std::size_t>(layer)]; }

  // Rows are padded on the left: the tokens of row r before first_token()[r] are padding and never
  // looked at.
  const std::vector<std::int64_t>& first_token() const { return first_token_; }
  void set_first_token(std::vector<std::int64_t> first);
  bool padded() const { return padded_; }

 private:
  std::int64_t batch_;
  std::int64_t capacity_;
  std::int64_t length_ = 0;
  std::vector<at::Tensor> keys_;
  std::vector<at::Tensor> values_;
  std::vector<std::int64_t> first_token_;
  bool padded_ = false;
};

}  // namespace quanthost::model

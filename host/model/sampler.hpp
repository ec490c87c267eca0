// Picks the next token from the logits of one row, as transformers' processors do, in their order.
#pragma once

#include <random>

#include "host/model/generate.hpp"

namespace quanthost::model {

class Sampler {
 public:
  explicit Sampler(const GenerationOptions& options) : options_(options), random_(options.seed) {}

  // `logits` are changed. `seen` are the prompt's and the generated tokens.
  std::int64_t next(std::vector<float>& logits, const std::vector<std::int64_t>& seen);

 private:
  void penalize(std::vector<float>& logits, const std::vector<std::int64_t>& seen) const;
  std::int64_t draw(const std::vector<float>& logits);

  GenerationOptions options_;
  std::mt19937_64 random_;
};

}  // namespace quanthost::model

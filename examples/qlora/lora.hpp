// LoRA adapters around the linear layers of a loaded model: output = base(x) + (x·Aᵀ)·Bᵀ · alpha /
// rank.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "host/model/layers.hpp"

namespace quanthost::qlora {

struct LoraConfig {
  std::int64_t rank = 8;
  double alpha = 16;
  std::vector<std::string> targets = {"q_proj", "k_proj", "v_proj",
                                      "o_proj"};  // last parts of names
  std::uint64_t seed = 0;

  double scaling() const { return alpha / static_cast<double>(rank); }
};

// Takes the place of its base layer, whose weight stays as it is. A is random and B is zero, so
// that a fresh adapter changes nothing. Both are float32, whatever the model computes in.
class LoraLayer final : public model::Layer {
 public:
  LoraLayer(std::shared_ptr<model::Layer> base, at::Tensor a, at::Tensor b, double scaling);
  at::Tensor forward(const at::Tensor& input) override;
  const at::Tensor& a() const { return parameter(0); }  // [rank, in]
  const at::Tensor& b() const { return parameter(1); }  // [out, rank]

 private:
  model::Slot<model::Layer> base_;
  double scaling_;
};

struct Adapter {
  std::string module;  // full name of the layer it sits on
  std::shared_ptr<LoraLayer> layer;
};

// One adapter for each linear layer, plain or quantized, whose name ends with a target. Throws
// kValue when there is none.
std::vector<Adapter> add_adapters(torch::nn::Module& root, const LoraConfig& config);

}  // namespace quanthost::qlora

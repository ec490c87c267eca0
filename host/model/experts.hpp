// Mixtral's sparse mixture of experts, with the names its checkpoints use: each expert's three
// layers are Linears.
#pragma once

#include "host/model/config.hpp"
#include "host/model/layers.hpp"

namespace quanthost::model {

class Expert : public Layer {
 public:
  Expert(const ModelConfig& config, const at::TensorOptions& options);
  at::Tensor forward(const at::Tensor& input) override;

 private:
  Slot<Layer> gate_, down_, up_, activation_;
};

class SparseExperts : public Layer {
 public:
  SparseExperts(const ModelConfig& config, const at::TensorOptions& options);
  at::Tensor forward(const at::Tensor& input) override;

 private:
  std::int64_t used_;  // experts a token
  Slot<Layer> router_;
  Slot<ModuleList<Expert>> experts_;
};

}  // namespace quanthost::model

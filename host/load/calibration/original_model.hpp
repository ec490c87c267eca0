// The model as it was before a quantizer changed it, as far as calibration needs it: the hidden
// states of the rows in it, and the parameters of the block at hand.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/load/calibration/activations.hpp"
#include "host/load/calibration/block_passes.hpp"

namespace quanthost {

class OriginalModel {
 public:
  // The root outlives this object.
  OriginalModel(torch::nn::Module& root, std::unique_ptr<Activations> activations)
      : root_(root), activations_(std::move(activations)) {}

  // Copies the parameters that the block has now. `passes` are those through the original block.
  void begin_block(const std::string& block, std::unique_ptr<BlockPasses> passes);

  // Throws kRuntime when a module of the block was replaced since begin_block. Not while watchers
  // stand in the places of its layers.
  void need_whole_block() const;

  // While it lives the block has its original parameters, watched or not.
  class InPlace {
   public:
    explicit InPlace(OriginalModel& original);
    InPlace(const InPlace&) = delete;
    InPlace& operator=(const InPlace&) = delete;
    ~InPlace();

   private:
    OriginalModel& original_;
    std::vector<at::Tensor> current_;  // what the block has otherwise
  };

  BlockPasses& passes() { return *passes_; }
  Activations& activations() { return *activations_; }

 private:
  struct Parameter {
    std::shared_ptr<model::Module> owner;
    std::string owner_name, name;
    at::Tensor value;
  };

  torch::nn::Module& root_;
  std::unique_ptr<Activations> activations_;  // the inputs of the block at hand
  std::unique_ptr<BlockPasses> passes_;
  std::vector<Parameter> parameters_;
};

}  // namespace quanthost

// Rows of calibration data on their way through one block, pass after pass, while a quantizer
// changes its layers in between: the inputs of chosen layers are captured, and what no change
// touches is not computed again.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "host/load/calibration/known_values.hpp"
#include "host/model/module_tree.hpp"

namespace quanthost {

// For one block. Passes follow one another.
class BlockPasses {
 public:
  // The input of each chosen layer, [tokens, in_features]; undefined: the row does not reach it.
  using Captured = std::vector<at::Tensor>;

  // Tree and budget outlive this object.
  BlockPasses(torch::nn::Module& root, std::string block, std::vector<std::string> layers,
              std::size_t rows, MemoryBudget& budget);

  class Pass;

 private:
  struct RowRun;
  class Watcher;

  torch::nn::Module& root_;
  const std::string block_;
  const std::vector<std::string> layers_;
  std::vector<KnownValues> known_;      // of each row
  std::vector<std::uint64_t> weights_;  // digests of each layer as it was in the last pass
  std::uint64_t other_parameters_ = 0;  // the same for what is in none of the layers
};

// While it lives, watchers stand in the places of the layers. Rows may be run on several threads.
class BlockPasses::Pass {
 public:
  // Whose watchers it runs with: one set serves two passes through the same modules, which take
  // turns.
  enum class Watchers { kOwn, kOfAnotherPass };
  // Nothing chosen: the rows go through to the end, and what is known is given up on the way.
  Pass(BlockPasses& block, const std::vector<std::string>& chosen,
       Watchers watchers = Watchers::kOwn);
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;
  ~Pass();

  // `forward` runs the block, and is left as soon as every chosen layer's input is captured.
  Captured run(std::size_t row, const std::function<void()>& forward) const;
  // Layers that were given the very same tensor share their input in every row: from now on the
  // first of them that is called speaks for all. Once in a pass, not while a row runs.
  void learn_sharing(const Captured& of_one_row);

 private:
  friend struct RowRun;
  friend class Watcher;

  void find_changes();
  void put_watchers();
  void put_layers_back() noexcept;

  BlockPasses& block_;
  std::vector<std::vector<std::size_t>> places_;  // of each layer: what its input is captured for
  std::size_t chosen_;
  std::vector<std::shared_ptr<model::Layer>> layers_;
};

}  // namespace quanthost

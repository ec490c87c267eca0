// Running a model across the devices of its map: what flows through it moves to the device of the
// part that comes next.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/load/exec.hpp"
#include "host/model/model.hpp"

namespace quanthost {

class LoadedModel;

// Hidden states move where a block, or a layer outside of the blocks, lies on another device than
// what came before it; a layer that lies elsewhere than its block gets its input moved and its
// output moved back. On the thread that runs the model.
class Dispatch {
 public:
  explicit Dispatch(LoadedModel& loaded);  // of which it becomes a part
  ~Dispatch();
  Dispatch(const Dispatch&) = delete;
  Dispatch& operator=(const Dispatch&) = delete;

  // How often hidden states or token ids went to another device since the load.
  std::uint64_t moves() const { return moves_; }

  // A model that lies on the CPU alone (what is on disk is computed there) needs no dispatch.
  static bool needed(const LoadedModel& loaded);

 private:
  using Place = std::shared_ptr<Exec>;

  void hook_layers(LoadedModel& loaded);
  void hook_outer_layer(model::Layer& layer, const Place& place, bool is_input, bool is_output);
  void hook_inner_layer(model::Layer& layer, const Place& place, const Place& block);
  void enter_block(std::size_t index, at::Tensor& hidden, model::BlockInputs& shared);
  void enter(const Place& place, at::Tensor& value);
  at::Tensor moved(const at::Tensor& shared, const Place& place);

  model::Model& model_;
  const Place host_;
  std::vector<Place> blocks_;
  std::vector<model::HookHandle> hooks_;
  Place now_;                                                         // where the hidden states are
  std::map<std::pair<const void*, const Exec*>, at::Tensor> shared_;  // of this forward
  std::uint64_t moves_ = 0;
};

}  // namespace quanthost

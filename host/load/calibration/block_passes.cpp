#include "host/load/calibration/block_passes.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "host/base/error.hpp"
#include "host/model/known_value.hpp"

namespace quanthost {
namespace {

struct AllCaptured {};  // thrown by a watcher: nothing behind it is needed

std::uint64_t digest(std::uint64_t before, const at::Tensor& tensor) {
  if (!tensor.defined()) return before;
  const at::Tensor held = tensor.detach().cpu().contiguous();
  const std::string_view bytes(static_cast<const char*>(held.const_data_ptr()), held.nbytes());
  return before * 0x9e3779b97f4a7c15u + std::hash<std::string_view>()(bytes);
}

}  // namespace

// One row in one pass. The thread that runs it has it at hand.
struct BlockPasses::RowRun {
  using Of = KnownValues::Of;

  const Pass& pass;
  KnownValues& known;
  Captured captured;
  std::size_t missing;
  KnownValues::Layers called, came_from;
  KnownValues::Layers asked;  // for their inputs before they were called
  bool keeps;                 // what is computed may be of use to a later pass

  static thread_local RowRun* current;

  at::Tensor call(std::size_t index, model::Layer& layer, const at::Tensor& input) {
    const bool again = called[index];  // with another input, and another output
    called[index] = true;
    capture(index, input);
    if (!again) {
      if (const at::Tensor output = take_known(Of::kOutput, index); output.defined()) return output;
    }
    came_from[index] = true;
    at::Tensor output = layer(input);
    if (again || !keeps) {
      known.forget(Of::kOutput, index);
    } else {
      known.keep(Of::kOutput, index, output, came_from);
    }
    return output;
  }

  // For a caller who leaves out what is before this layer: not where one of those that were not
  // called yet is waited for.
  at::Tensor skip_to(Of of, std::size_t index) {
    const KnownValues::Known* const found = called[index] ? nullptr : known.find(of, index);
    if (!found) return {};
    for (std::size_t i = 0; i < called.size(); ++i) {
      if (found->came_from[i] && !called[i] && !pass.places_[i].empty()) return {};
    }
    return take_known(of, index);
  }

 private:
  at::Tensor take_known(Of of, std::size_t index) {
    const KnownValues::Known* const found = known.find(of, index);
    if (!found) return {};
    for (std::size_t i = 0; i < came_from.size(); ++i)
      came_from[i] = came_from[i] || found->came_from[i];
    return found->value;
  }

  // A layer whose input is wanted is about to change: what comes after it will be another then.
  void capture(std::size_t index, const at::Tensor& input) {
    if (pass.places_[index].empty()) return;
    if (keeps && asked[index]) known.keep(Of::kInput, index, input, came_from);
    keeps = false;
    const at::Tensor flat = input.reshape({-1, input.size(-1)}).contiguous();
    for (const std::size_t place : pass.places_[index]) {
      if (!captured[place].defined()) --missing;
      captured[place] = flat;
    }
    if (missing == 0) throw AllCaptured{};
  }
};

thread_local BlockPasses::RowRun* BlockPasses::RowRun::current = nullptr;

class BlockPasses::Watcher final : public model::Layer, public model::KnowingLayer {
 public:
  Watcher(std::shared_ptr<model::Layer> layer, std::size_t index)
      : Layer(layer->class_name()), layer_(std::move(layer)), index_(index) {}

  at::Tensor forward(const at::Tensor& input) override {
    RowRun* const row = RowRun::current;
    return row ? row->call(index_, *layer_, input) : (*layer_)(input);
  }
  at::Tensor known_output() override {
    RowRun* const row = RowRun::current;
    if (!row) return {};
    // Its own input may be what is waited for.
    return row->pass.places_[index_].empty() ? row->skip_to(KnownValues::Of::kOutput, index_)
                                             : at::Tensor();
  }
  at::Tensor known_input() override {
    RowRun* const row = RowRun::current;
    if (!row) return {};
    row->asked[index_] = true;
    return row->skip_to(KnownValues::Of::kInput, index_);
  }

 private:
  const std::shared_ptr<model::Layer> layer_;
  const std::size_t index_;
};

BlockPasses::BlockPasses(torch::nn::Module& root, std::string block,
                         std::vector<std::string> layers, std::size_t rows, MemoryBudget& budget)
    : root_(root),
      block_(std::move(block)),
      layers_(std::move(layers)),
      weights_(layers_.size(), 0) {
  known_.reserve(rows);
  for (std::size_t row = 0; row < rows; ++row) known_.emplace_back(layers_.size(), budget);
}

BlockPasses::Pass::Pass(BlockPasses& block, const std::vector<std::string>& chosen,
                        Watchers watchers)
    : block_(block), places_(block.layers_.size()), chosen_(chosen.size()) {
  for (std::size_t place = 0; place < chosen.size(); ++place) {
    const auto found = std::find(block.layers_.begin(), block.layers_.end(), chosen[place]);
    if (found == block.layers_.end())
      fail(ErrorKind::kKey, "{} is no linear layer of {}", chosen[place], block.block_);
    places_[static_cast<std::size_t>(found - block.layers_.begin())].push_back(place);
  }
  find_changes();
  if (watchers == Watchers::kOwn) put_watchers();
}

BlockPasses::Pass::~Pass() { put_layers_back(); }

void BlockPasses::Pass::find_changes() {
  KnownValues::Layers changed(block_.layers_.size());
  std::set<const void*> of_layers;
  for (std::size_t i = 0; i < changed.size(); ++i) {
    torch::nn::Module& layer = model::get_module(block_.root_, block_.layers_[i]);
    auto weights = reinterpret_cast<std::uintptr_t>(&layer);
    for (const at::Tensor& parameter : layer.parameters()) {
      of_layers.insert(parameter.unsafeGetTensorImpl());
      weights = digest(weights, parameter);
    }
    changed[i] = std::exchange(block_.weights_[i], weights) != weights;
  }
  std::uint64_t others = 0;
  for (const at::Tensor& parameter : model::get_module(block_.root_, block_.block_).parameters()) {
    if (!of_layers.contains(parameter.unsafeGetTensorImpl())) others = digest(others, parameter);
  }
  const bool all = std::exchange(block_.other_parameters_, others) != others;
  for (KnownValues& row : block_.known_) {
    if (all) row.forget_all();
    row.forget_what_came_from(changed);
  }
}

void BlockPasses::Pass::put_watchers() {
  for (const std::string& name : block_.layers_) {
    auto layer = std::dynamic_pointer_cast<model::Layer>(
        model::get_module(block_.root_, name).shared_from_this());
    if (!layer) fail(ErrorKind::kInternal, "{} is no layer of this library's models", name);
    layers_.push_back(std::move(layer));
  }
  try {
    for (std::size_t i = 0; i < layers_.size(); ++i)
      model::replace_module(block_.root_, block_.layers_[i],
                            std::make_shared<Watcher>(layers_[i], i));
  } catch (...) {
    put_layers_back();
    throw;
  }
}

// Each came from the place that it goes to, so that nothing here is refused.
void BlockPasses::Pass::put_layers_back() noexcept {
  for (std::size_t i = 0; i < layers_.size(); ++i)
    model::replace_module(block_.root_, block_.layers_[i], layers_[i]);
}

BlockPasses::Captured BlockPasses::Pass::run(std::size_t row,
                                             const std::function<void()>& forward) const {
  struct AtHand {
    explicit AtHand(RowRun& run) { RowRun::current = &run; }
    ~AtHand() { RowRun::current = nullptr; }
  };
  KnownValues& known = block_.known_[row];
  const std::size_t layers = places_.size();
  const KnownValues::Layers none(layers);
  RowRun run{*this, known, Captured(chosen_), chosen_, none, none, none, chosen_ > 0};
  const AtHand at_hand(run);
  try {
    forward();
  } catch (const AllCaptured&) {
  }
  if (chosen_ == 0) known.forget_all();
  return std::move(run.captured);
}

void BlockPasses::Pass::learn_sharing(const Captured& of_one_row) {
  const auto same = [&](std::size_t a, std::size_t b) {
    const at::Tensor &x = of_one_row[a], &y = of_one_row[b];
    return x.defined() && y.defined() && x.const_data_ptr() == y.const_data_ptr() &&
           x.sizes() == y.sizes();
  };
  for (auto& places : places_) {
    for (std::size_t place = 0; place < of_one_row.size() && !places.empty(); ++place) {
      if (place != places.front() && same(place, places.front())) places.push_back(place);
    }
  }
}

}  // namespace quanthost

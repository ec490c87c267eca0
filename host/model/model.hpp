// A model: the tree of modules of one architecture, what transformers knows about it, and how it
// runs block by block.
#pragma once

#include <memory>

#include "host/model/attention.hpp"
#include "host/model/config.hpp"
#include "host/model/layers.hpp"
#include "host/model/rope.hpp"

namespace quanthost::model {

struct ModelInputs {
  at::Tensor input_ids = {};       // [batch, tokens], int64
  at::Tensor attention_mask = {};  // [batch, past + tokens], 1 for a token and 0 for padding;
                                   // undefined: no padding
  at::Tensor position_ids =
      {};  // [batch or 1, tokens]; undefined: as transformers' forward counts them
  at::Tensor token_type_ids = {};  // BERT; undefined: zeros
  at::Tensor pixel_values = {};    // [batch, channels, height, width]
};

// A decoder or encoder layer: hidden states in, hidden states out. Hooks see these two.
class Block : public Module {
 public:
  using Module::Module;
  at::Tensor operator()(const at::Tensor& hidden, const BlockInputs& inputs) {
    return hooked_call(hidden, [&](const at::Tensor& x) { return forward(x, inputs); });
  }
  virtual at::Tensor forward(const at::Tensor& hidden, const BlockInputs& inputs) = 0;
};

// The model without its head: LlamaModel, GPT2Model, …
class Backbone : public Module {
 public:
  using Module::Module;
  virtual at::Tensor embed(const ModelInputs& inputs, const at::Tensor& position_ids) = 0;
  virtual ModuleList<Block>& blocks() = 0;
  virtual at::Tensor finish(const at::Tensor& hidden) = 0;  // what comes after the last block
  virtual RotaryEmbedding* rotary() { return nullptr; }
  virtual bool causal() const { return true; }
  virtual bool positions_skip_padding() const {
    return false;
  }  // OPT counts tokens, the others places
};

// What transformers' classes say about an architecture. All names are full names in the tree.
struct ModelInfo {
  std::string main_input_name = "input_ids";
  std::string base_prefix = {};  // of the backbone in a model with a head, e.g. "model"
  std::string blocks = {};       // the list of blocks, e.g. "model.layers"
  std::string input_embeddings = {};
  std::string output_embeddings = {};  // empty when there are none
  std::vector<std::string> no_split_classes = {};
  std::vector<std::string> keep_in_fp32 = {};
  std::vector<std::pair<std::string, std::string>> tied =
      {};  // parameter, and the parameter it shares memory with
};

// Whether every block computes on host memory; the kernels for single tokens need that.
enum class BlockMemory { kHost, kDevices };

class Model {
 public:
  // `head` may be empty. Its output for the whole hidden state are the logits; with
  // `head_sees_first_token` it gets the first token's state alone.
  Model(ModelConfig config, ModelInfo info, std::shared_ptr<Module> root,
        std::shared_ptr<Backbone> backbone, Slot<Layer> head, bool head_sees_first_token = false);

  const ModelConfig& config() const { return config_; }
  const ModelInfo& info() const { return info_; }
  Module& root() { return *root_; }
  bool has_head() const { return static_cast<bool>(head_); }
  at::TensorOptions hidden_options();  // dtype and device of what the input embeddings give

  // Logits, or the last hidden state of a model without a head. With a cache the tokens continue
  // those it holds and are added to it. `logits_to_keep`: only for the last so many tokens; 0: for
  // all.
  at::Tensor forward(const ModelInputs& inputs, KvCache* cache = nullptr,
                     std::int64_t logits_to_keep = 0);

  // The same in steps, for calibration: prepare, then each block, then finish.
  struct Prepared {
    at::Tensor hidden;
    BlockInputs shared;
  };
  Prepared prepare(const ModelInputs& inputs, KvCache* cache = nullptr);
  std::size_t block_count() { return backbone_->blocks().size(); }
  std::string block_name(std::size_t index) const {
    return info_.blocks + "." + std::to_string(index);
  }
  Block& block(std::size_t index) { return backbone_->blocks()[index]; }
  at::Tensor run_block(std::size_t index, const at::Tensor& hidden, const BlockInputs& shared);

  // Called before each block with what it will be given, to bring that to the block's device. Null:
  // everything is where it has to be.
  using BlockEntry =
      std::function<void(std::size_t index, at::Tensor& hidden, BlockInputs& shared)>;
  void set_block_entry(BlockEntry entry, BlockMemory memory) {
    block_entry_ = std::move(entry);
    block_memory_ = memory;
  }
  at::Tensor finish(const at::Tensor& hidden, std::int64_t logits_to_keep = 0);

  // Shares the memory of tied parameters. To be called again after they were given values. A side
  // whose layer was replaced by one without that parameter stays alone.
  void tie_weights();

 private:
  at::Tensor position_ids(const ModelInputs& inputs, std::int64_t past, std::int64_t tokens) const;

  ModelConfig config_;
  ModelInfo info_;
  std::shared_ptr<Module> root_;
  std::shared_ptr<Backbone> backbone_;
  Slot<Layer> head_;
  bool head_sees_first_token_;
  BlockEntry block_entry_;
  BlockMemory block_memory_ = BlockMemory::kHost;
};

// Builds the architecture that config.json names, its parameters without memory (device "meta") in
// `dtype`.
std::unique_ptr<Model> build_model(const ModelConfig& config, at::ScalarType dtype);

}  // namespace quanthost::model

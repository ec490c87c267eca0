// BERT, with or without its masked-language head.
#include <ATen/ATen.h>

#include "host/base/error.hpp"
#include "host/model/architectures.hpp"
#include "host/model/encoder.hpp"

namespace quanthost::model {
namespace {

std::shared_ptr<Layer> bert_norm(const ModelConfig& config, const at::TensorOptions& options) {
  return std::make_shared<LayerNorm>(config.hidden_size, config.norm_eps, true, true, options);
}

std::shared_ptr<Layer> linear(std::int64_t in, std::int64_t out, const at::TensorOptions& options) {
  return std::make_shared<Linear>(in, out, /*bias=*/true, options);
}

class BertEmbeddings : public Module {
 public:
  BertEmbeddings(const ModelConfig& config, const at::TensorOptions& options)
      : Module("BertEmbeddings") {
    const std::int64_t width = config.hidden_size;
    const std::int64_t types = config.integer("type_vocab_size", 2);
    words_ = add<Layer>("word_embeddings",
                        std::make_shared<Embedding>(config.vocab_size, width, options));
    positions_ = add<Layer>("position_embeddings",
                            std::make_shared<Embedding>(config.max_positions, width, options));
    types_ =
        add<Layer>("token_type_embeddings", std::make_shared<Embedding>(types, width, options));
    norm_ = add("LayerNorm", bert_norm(config, options));
    add("dropout", std::make_shared<Dropout>());
    add_transient_buffer("position_ids", at::arange(config.max_positions).unsqueeze(0));
    add_transient_buffer("token_type_ids", at::zeros({1, config.max_positions}, at::kLong));
  }

  at::Tensor embed(const ModelInputs& inputs, const at::Tensor& position_ids) {
    const at::Tensor& ids = inputs.input_ids;
    const at::Tensor types =
        inputs.token_type_ids.defined() ? inputs.token_type_ids : at::zeros_like(ids);
    return (*norm_)((*words_)(ids) + (*types_)(types) + (*positions_)(position_ids));
  }

 private:
  Slot<Layer> words_, positions_, types_, norm_;
};

// The second half of both parts of a layer: project, add what came before, norm.
class BertOutput : public Module {
 public:
  BertOutput(std::string class_name, std::int64_t in, const ModelConfig& config,
             const at::TensorOptions& options)
      : Module(std::move(class_name)) {
    dense_ = add("dense", linear(in, config.hidden_size, options));
    norm_ = add("LayerNorm", bert_norm(config, options));
    add("dropout", std::make_shared<Dropout>());
  }
  at::Tensor operator()(const at::Tensor& states, const at::Tensor& before) {
    return hooked_call(states,
                       [&](const at::Tensor& x) { return (*norm_)((*dense_)(x) + before); });
  }

 private:
  Slot<Layer> dense_, norm_;
};

class BertAttention : public Module {
 public:
  BertAttention(const ModelConfig& config, const at::TensorOptions& options)
      : Module("BertAttention") {
    self_ =
        add("self", std::make_shared<EncoderAttention>("BertSelfAttention", config, true, options));
    output_ = add("output", std::make_shared<BertOutput>("BertSelfOutput", config.hidden_size,
                                                         config, options));
  }
  at::Tensor operator()(const at::Tensor& hidden, const BlockInputs& inputs) {
    return hooked_call(hidden,
                       [&](const at::Tensor& x) { return (*output_)((*self_)(x, inputs), x); });
  }

 private:
  Slot<EncoderAttention> self_;
  Slot<BertOutput> output_;
};

class BertLayer : public Block {
 public:
  BertLayer(const ModelConfig& config, const at::TensorOptions& options) : Block("BertLayer") {
    attention_ = add("attention", std::make_shared<BertAttention>(config, options));
    intermediate_ = add<Layer>(
        "intermediate", std::make_shared<EncoderIntermediate>("BertIntermediate", config, options));
    output_ = add("output", std::make_shared<BertOutput>("BertOutput", config.intermediate_size,
                                                         config, options));
  }
  at::Tensor forward(const at::Tensor& hidden, const BlockInputs& inputs) override {
    const at::Tensor attended = (*attention_)(hidden, inputs);
    return (*output_)((*intermediate_)(attended), attended);
  }

 private:
  Slot<BertAttention> attention_;
  Slot<Layer> intermediate_;
  Slot<BertOutput> output_;
};

class BertBackbone : public Backbone {
 public:
  BertBackbone(const ModelConfig& config, const at::TensorOptions& options)
      : Backbone("BertModel") {
    if (config.flag("is_decoder", false))
      fail(ErrorKind::kNotImplemented, "config.json: BERT as a decoder is not supported");
    embeddings_ = add("embeddings", std::make_shared<BertEmbeddings>(config, options));
    auto blocks = std::make_shared<ModuleList<Block>>();
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
      blocks->push_back(std::make_shared<BertLayer>(config, options));
    }
    blocks_ = blocks;
    add("encoder", std::make_shared<Holder>("BertEncoder", "layer", std::move(blocks)));
    if (!config.has_head()) {
      add("pooler", std::make_shared<EncoderPooler>("BertPooler", config.hidden_size,
                                                    config.hidden_size, "tanh", options));
    }
  }

  at::Tensor embed(const ModelInputs& inputs, const at::Tensor& position_ids) override {
    return embeddings_->embed(inputs, position_ids);
  }
  ModuleList<Block>& blocks() override { return *blocks_; }
  at::Tensor finish(const at::Tensor& hidden) override { return hidden; }
  bool causal() const override { return false; }

 private:
  Slot<BertEmbeddings> embeddings_;
  std::shared_ptr<ModuleList<Block>> blocks_;
};

class BertTransform : public Layer {
 public:
  BertTransform(const ModelConfig& config, const at::TensorOptions& options)
      : Layer("BertPredictionHeadTransform") {
    dense_ = add("dense", linear(config.hidden_size, config.hidden_size, options));
    activation_ = add<Layer>("transform_act_fn", std::make_shared<Activation>(config.activation));
    norm_ = add("LayerNorm", bert_norm(config, options));
  }
  at::Tensor forward(const at::Tensor& input) override {
    return (*norm_)((*activation_)((*dense_)(input)));
  }

 private:
  Slot<Layer> dense_, activation_, norm_;
};

class BertPredictions : public Layer {
 public:
  BertPredictions(const ModelConfig& config, const at::TensorOptions& options)
      : Layer("BertLMPredictionHead") {
    add_parameter("bias", {config.vocab_size}, options);  // the decoder's bias is tied to it
    transform_ = add<Layer>("transform", std::make_shared<BertTransform>(config, options));
    decoder_ = add("decoder", linear(config.hidden_size, config.vocab_size, options));
  }
  at::Tensor forward(const at::Tensor& input) override { return (*decoder_)((*transform_)(input)); }

 private:
  Slot<Layer> transform_, decoder_;
};

class BertMaskedHead : public Layer {
 public:
  BertMaskedHead(const ModelConfig& config, const at::TensorOptions& options)
      : Layer("BertOnlyMLMHead") {
    predictions_ = add<Layer>("predictions", std::make_shared<BertPredictions>(config, options));
  }
  at::Tensor forward(const at::Tensor& input) override { return (*predictions_)(input); }

 private:
  Slot<Layer> predictions_;
};

}  // namespace

std::unique_ptr<Model> build_bert(const ModelConfig& config, const at::TensorOptions& options) {
  auto backbone = std::make_shared<BertBackbone>(config, options);
  ModelInfo info{.base_prefix = "bert",
                 .blocks = "encoder.layer",
                 .input_embeddings = "embeddings.word_embeddings"};
  info.no_split_classes = {"BertEmbeddings", "BertLayer"};
  if (!config.has_head())
    return std::make_unique<Model>(config, info, backbone, backbone, Slot<Layer>());
  if (config.architecture != "BertForMaskedLM") {
    fail(ErrorKind::kNotImplemented,
         "config.json: architecture '{}' is not supported; of BERT, BertModel and BertForMaskedLM "
         "are",
         config.architecture);
  }
  info.blocks = "bert.encoder.layer";
  info.input_embeddings = "bert.embeddings.word_embeddings";
  info.output_embeddings = "cls.predictions.decoder";
  if (config.tied_embeddings) {
    info.tied = {{"cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"},
                 {"cls.predictions.decoder.bias", "cls.predictions.bias"}};
  }
  auto root = std::make_shared<WithHead>(config.architecture, "bert", backbone, "cls",
                                         std::make_shared<BertMaskedHead>(config, options));
  return std::make_unique<Model>(config, info, root, backbone, root->head());
}

}  // namespace quanthost::model

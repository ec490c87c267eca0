// ViT: patches of an image as tokens. The tree has the names that checkpoints use, which
// transformers 5 renames on load.
#include <ATen/ATen.h>

#include "host/base/error.hpp"
#include "host/model/architectures.hpp"
#include "host/model/encoder.hpp"

namespace quanthost::model {
namespace {

std::shared_ptr<Layer> vit_norm(const ModelConfig& config, const at::TensorOptions& options) {
  return std::make_shared<LayerNorm>(config.hidden_size, config.norm_eps, true, true, options);
}

class VitPatches : public Layer {
 public:
  VitPatches(const ModelConfig& config, const at::TensorOptions& options)
      : Layer("ViTPatchEmbeddings") {
    const std::int64_t patch = config.integer("patch_size", 16);
    projection_ = add<Layer>(
        "projection", std::make_shared<Conv2d>(config.integer("num_channels", 3),
                                               config.hidden_size, patch, patch, true, options));
  }
  at::Tensor forward(const at::Tensor& pixels) override {
    return (*projection_)(pixels).flatten(2).transpose(1, 2);
  }

 private:
  Slot<Layer> projection_;
};

class VitEmbeddings : public Module {
 public:
  VitEmbeddings(const ModelConfig& config, const at::TensorOptions& options)
      : Module("ViTEmbeddings"), image_size_(config.integer("image_size", 224)) {
    const std::int64_t side = image_size_ / config.integer("patch_size", 16);
    add_parameter("cls_token", {1, 1, config.hidden_size}, options);
    add_parameter("position_embeddings", {1, side * side + 1, config.hidden_size}, options);
    patches_ = add<Layer>("patch_embeddings", std::make_shared<VitPatches>(config, options));
    add("dropout", std::make_shared<Dropout>());
  }

  at::Tensor embed(const at::Tensor& pixel_values) {
    if (pixel_values.dim() != 4 || pixel_values.size(2) != image_size_ ||
        pixel_values.size(3) != image_size_) {
      fail(ErrorKind::kValue,
           "pixel_values has shape {}; the model needs [batch, channels, {}, {}]",
           c10::str(pixel_values.sizes()), image_size_, image_size_);
    }
    const at::Tensor& first_token = parameter(0);
    const at::Tensor patches = (*patches_)(pixel_values.to(first_token.scalar_type()));
    return at::cat({first_token.expand({patches.size(0), -1, -1}), patches}, 1) + parameter(1);
  }

 private:
  std::int64_t image_size_;
  Slot<Layer> patches_;
};

// A projection under the name "dense", as the old tree has it.
class VitDense : public Layer {
 public:
  VitDense(std::string class_name, std::int64_t in, std::int64_t out,
           const at::TensorOptions& options)
      : Layer(std::move(class_name)) {
    dense_ = add<Layer>("dense", std::make_shared<Linear>(in, out, true, options));
    add("dropout", std::make_shared<Dropout>());
  }
  at::Tensor forward(const at::Tensor& input) override { return (*dense_)(input); }

 private:
  Slot<Layer> dense_;
};

class VitAttention : public Module {
 public:
  VitAttention(const ModelConfig& config, const at::TensorOptions& options)
      : Module("ViTAttention") {
    const bool bias = config.flag("qkv_bias", true);
    self_ = add("attention",
                std::make_shared<EncoderAttention>("ViTSelfAttention", config, bias, options));
    output_ = add<Layer>("output", std::make_shared<VitDense>("ViTSelfOutput", config.hidden_size,
                                                              config.hidden_size, options));
  }
  at::Tensor operator()(const at::Tensor& hidden, const BlockInputs& inputs) {
    return hooked_call(hidden,
                       [&](const at::Tensor& x) { return (*output_)((*self_)(x, inputs)); });
  }

 private:
  Slot<EncoderAttention> self_;
  Slot<Layer> output_;
};

class VitLayer : public Block {
 public:
  VitLayer(const ModelConfig& config, const at::TensorOptions& options) : Block("ViTLayer") {
    attention_ = add("attention", std::make_shared<VitAttention>(config, options));
    intermediate_ = add<Layer>(
        "intermediate", std::make_shared<EncoderIntermediate>("ViTIntermediate", config, options));
    output_ = add<Layer>("output", std::make_shared<VitDense>("ViTOutput", config.intermediate_size,
                                                              config.hidden_size, options));
    before_attention_ = add("layernorm_before", vit_norm(config, options));
    before_mlp_ = add("layernorm_after", vit_norm(config, options));
  }
  at::Tensor forward(const at::Tensor& hidden, const BlockInputs& inputs) override {
    const at::Tensor middle = (*attention_)((*before_attention_)(hidden), inputs) + hidden;
    return (*output_)((*intermediate_)((*before_mlp_)(middle))) + middle;
  }

 private:
  Slot<VitAttention> attention_;
  Slot<Layer> intermediate_, output_, before_attention_, before_mlp_;
};

class VitBackbone : public Backbone {
 public:
  VitBackbone(const ModelConfig& config, const at::TensorOptions& options) : Backbone("ViTModel") {
    embeddings_ = add("embeddings", std::make_shared<VitEmbeddings>(config, options));
    auto blocks = std::make_shared<ModuleList<Block>>();
    for (std::int64_t layer = 0; layer < config.layers; ++layer) {
      blocks->push_back(std::make_shared<VitLayer>(config, options));
    }
    blocks_ = blocks;
    add("encoder", std::make_shared<Holder>("ViTEncoder", "layer", std::move(blocks)));
    norm_ = add("layernorm", vit_norm(config, options));
    if (!config.has_head()) {
      const std::int64_t pooled = config.integer("pooler_output_size", config.hidden_size);
      add("pooler", std::make_shared<EncoderPooler>("ViTPooler", config.hidden_size, pooled, "tanh",
                                                    options));
    }
  }

  at::Tensor embed(const ModelInputs& inputs, const at::Tensor&) override {
    return embeddings_->embed(inputs.pixel_values);
  }
  ModuleList<Block>& blocks() override { return *blocks_; }
  at::Tensor finish(const at::Tensor& hidden) override { return (*norm_)(hidden); }
  bool causal() const override { return false; }

 private:
  Slot<VitEmbeddings> embeddings_;
  std::shared_ptr<ModuleList<Block>> blocks_;
  Slot<Layer> norm_;
};

// transformers counts the labels of id2label; two when config.json lists none.
std::int64_t label_count(const ModelConfig& config) {
  const auto labels = config.json.find("id2label");
  if (labels != config.json.end() && labels->is_object())
    return static_cast<std::int64_t>(labels->size());
  return config.integer("num_labels", 2);
}

}  // namespace

std::unique_ptr<Model> build_vit(const ModelConfig& config, const at::TensorOptions& options) {
  auto backbone = std::make_shared<VitBackbone>(config, options);
  ModelInfo info{
      .main_input_name = "pixel_values", .base_prefix = "vit", .blocks = "encoder.layer"};
  info.input_embeddings = "embeddings.patch_embeddings";
  info.no_split_classes = {"ViTEmbeddings", "ViTLayer"};
  if (!config.has_head())
    return std::make_unique<Model>(config, info, backbone, backbone, Slot<Layer>());
  if (config.architecture != "ViTForImageClassification") {
    fail(ErrorKind::kNotImplemented,
         "config.json: architecture '{}' is not supported; of ViT, ViTModel and "
         "ViTForImageClassification are",
         config.architecture);
  }
  info.blocks = "vit.encoder.layer";
  info.input_embeddings = "vit.embeddings.patch_embeddings";
  auto root = std::make_shared<WithHead>(
      config.architecture, "vit", backbone, "classifier",
      std::make_shared<Linear>(config.hidden_size, label_count(config), true, options));
  return std::make_unique<Model>(config, info, root, backbone, root->head(),
                                 /*head_sees_first_token=*/true);
}

}  // namespace quanthost::model

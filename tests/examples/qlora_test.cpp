// LoRA adapters on a small model in NF4: they learn, the quantized weights stay, and what is saved
// has PEFT's names.
#include "examples/qlora/adapter_file.hpp"
#include "examples/qlora/train.hpp"
#include "tests/load/load_fixture.hpp"

namespace quanthost::qlora {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Qlora : public LoadPipeline {
 protected:
  LoadedModel nf4() {
    LoadOptions load = options(kGoldens / "llama");
    load.quantization = user_quantization("bitsandbytes_4bit", {"bnb_4bit_quant_type=nf4"});
    load.dtype = "float32";
    return load_model(plugins(), load);
  }

  // Every stored byte of the model, by name.
  static std::map<std::string, at::Tensor> state(LoadedModel& loaded) {
    std::map<std::string, at::Tensor> out;
    for (const auto& module : loaded.context->plugin_modules())
      for (const auto& [name, tensor] : module->state_tensors())
        out[module->full_name() + "." + name] = tensor.clone();
    return out;
  }

  const std::vector<std::int64_t> text_ = [] {
    std::vector<std::int64_t> ids;
    for (std::int64_t i = 0; i < 96; ++i) ids.push_back(3 + 7 * i % 48);
    return ids;
  }();
  LoraConfig lora_{4, 8.0, {"q_proj", "v_proj", "down_proj"}, 5};
  TrainOptions training_{40, 4, 24, 1e-2, 5};
};

TEST_F(Qlora, LearnsATextWhileTheQuantizedWeightsStay) {
  LoadedModel loaded = nf4();
  const auto before = state(loaded);
  const auto layers = loaded.context->plugin_modules();
  const auto adapters = add_adapters(loaded.model->root(), lora_);
  EXPECT_EQ(adapters.size(), 6u);

  const std::vector<double> losses = train(*loaded.model, adapters, text_, training_);

  ASSERT_EQ(losses.size(), 40u);
  EXPECT_LT(losses.back(), 0.5 * losses.front());
  std::size_t compared = 0;
  for (const auto& module : layers) {
    for (const auto& [name, tensor] : module->state_tensors()) {
      EXPECT_TRUE(at::equal(tensor, before.at(module->full_name() + "." + name))) << name;
      ++compared;
    }
  }
  EXPECT_EQ(compared, before.size());
  EXPECT_GT(adapters.front().layer->b().abs().max().item<double>(), 0.0);
}

TEST_F(Qlora, ChangesNothingBeforeItHasLearned) {
  LoadedModel loaded = nf4();
  const at::Tensor before = output_of(loaded, "llama");
  add_adapters(loaded.model->root(), lora_);
  EXPECT_TRUE(at::equal(output_of(loaded, "llama"), before));
}

TEST_F(Qlora, ReachesTheFirstBlockThroughAllQuantizedLayers) {
  LoadedModel loaded = nf4();
  lora_.targets = {"q_proj"};
  const auto adapters = add_adapters(loaded.model->root(), lora_);
  const at::Tensor ids = at::tensor(text_, at::kLong).narrow(0, 0, 24).unsqueeze(0);
  const auto loss = [&] { return next_token_loss(*loaded.model, ids).item<double>(); };
  next_token_loss(*loaded.model, ids).backward();
  const at::Tensor b = adapters.front().layer->b();
  const at::Tensor grad = b.grad();
  // The slope of the loss along the gradient, by central differences.
  const at::NoGradGuard no_gradients;
  const at::Tensor direction = grad / grad.norm();
  constexpr double kStep = 1e-2;
  at::Tensor values = b.detach();
  values.add_(direction, kStep);
  const double above = loss();
  values.sub_(direction, 2 * kStep);
  const double below = loss();
  EXPECT_NEAR((above - below) / (2 * kStep) / grad.norm().item<double>(), 1.0, 2e-2);
}

TEST_F(Qlora, SavesAdaptersUnderPeftsNames) {
  LoadedModel loaded = nf4();
  const auto adapters = add_adapters(loaded.model->root(), lora_);
  save_adapters(folder_ / "adapter", adapters, lora_, "models/llama");

  const SafetensorsFile file = SafetensorsFile::open(folder_ / "adapter/adapter_model.safetensors");
  EXPECT_EQ(file.tensors().size(), 12u);
  const std::string layer = "base_model.model.model.layers.1.mlp.down_proj";
  EXPECT_THAT(file.find(layer + ".lora_A.weight")->shape, ElementsAre(4, 48));
  EXPECT_THAT(file.find(layer + ".lora_B.weight")->shape, ElementsAre(32, 4));
  const Json config =
      parse_json(read_text_file(folder_ / "adapter/adapter_config.json"), "adapter_config.json");
  EXPECT_EQ(config["peft_type"], "LORA");
  EXPECT_EQ(config["r"], 4);
  EXPECT_EQ(config["base_model_name_or_path"], "models/llama");
}

TEST_F(Qlora, RefusesTargetsAndTextsThatDoNotFit) {
  LoadedModel loaded = nf4();
  lora_.targets = {"proj_q"};
  EXPECT_THAT(error_of([&] { add_adapters(loaded.model->root(), lora_); }).what(),
              HasSubstr("no linear layer"));
  training_.window = 97;
  EXPECT_THAT(error_of([&] { train(*loaded.model, {}, text_, training_); }).what(),
              HasSubstr("the text has 96 tokens, a sample needs 97"));
}

}  // namespace
}  // namespace quanthost::qlora

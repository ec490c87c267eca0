// What quantizers ask of the module tree, on real architectures and on an application's own
// modules.
#include "host/model/module_tree.hpp"

#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden.hpp"
#include "host/base/error.hpp"
#include "host/base/file.hpp"
#include "host/model/generate.hpp"

namespace quanthost::model {
namespace {

using testing::HasSubstr;

std::unique_ptr<Model> without_weights(const std::string& name) {
  return build_model(read_model_config_file(golden_folder(name) / "config.json"), at::kBFloat16);
}

// Mixtral, ViT and GPT-NeoX keep the names that checkpoints use, which transformers 5 renames while
// loading.
const std::set<std::string> kRenamedByTransformers5{"mixtral", "vit", "vit_bare", "gpt_neox",
                                                    "gpt_neox_serial"};

TEST(ModuleTree, HasTheNamesClassesAndOrderOfTransformers) {
  for (const std::string& name : golden_names()) {
    if (kRenamedByTransformers5.contains(name)) continue;
    auto model = without_weights(name);
    const Json tree = parse_json(read_text_file(golden_folder(name) / "tree.json"), "tree.json");
    Json modules = Json::array();
    for (const ModuleEntry& entry : walk_modules(model->root()))
      modules.push_back({entry.name, entry.class_name});
    EXPECT_EQ(modules, tree.at("modules")) << name;
    Json parameters = Json::array();
    for (const TensorEntry& entry : walk_parameters(model->root())) {
      if (entry.tied_to.empty()) parameters.push_back(entry.name);
    }
    EXPECT_EQ(parameters, tree.at("parameters")) << name;
  }
}

TEST(ModuleTree, BuildsEveryFamilyWithoutMemory) {
  for (const std::string& name : golden_names()) {
    auto model = without_weights(name);
    for (const TensorEntry& entry : walk_parameters(model->root())) {
      EXPECT_TRUE(entry.tensor.is_meta()) << name << ": " << entry.name;
      EXPECT_EQ(entry.tensor.scalar_type(), at::kBFloat16);
    }
  }
}

TEST(ModuleTree, NamesTheTiedParameter) {
  auto model = without_weights("llama_tied_bias");
  for (const TensorEntry& entry : walk_parameters(model->root())) {
    EXPECT_EQ(entry.tied_to, entry.name == "lm_head.weight" ? "model.embed_tokens.weight" : "")
        << entry.name;
  }
}

class Doubled : public Layer {
 public:
  explicit Doubled(std::shared_ptr<Layer> inner) : Layer("Doubled") {
    inner_ = add("inner", std::move(inner));
  }
  at::Tensor forward(const at::Tensor& input) override { return (*inner_)(input)*2.0; }

 private:
  Slot<Layer> inner_;
};

TEST(ModuleTree, TheForwardUsesAReplacedLayer) {
  const c10::InferenceMode no_gradients;
  for (const char* name :
       {"model.layers.0.self_attn.q_proj", "model.layers.1.mlp.gate_proj", "lm_head"}) {
    auto model = load_golden("llama");
    const at::Tensor before = model->forward(golden_inputs("llama"));
    auto* old = dynamic_cast<Linear*>(&get_module(model->root(), name));
    auto copy = std::make_shared<Linear>(old->in_features(), old->out_features(), false,
                                         at::TensorOptions(at::kFloat));
    copy->set_parameter("weight", old->weight());
    replace_module(model->root(), name, std::make_shared<Doubled>(copy));
    EXPECT_GT(relative_difference(model->forward(golden_inputs("llama")), before), 1e-3) << name;
    EXPECT_EQ(get_module(model->root(), name).name(), "Doubled");
    // A decode step has a path of its own, which must see the new layer too.
    KvCache cache(model->config(), 2, 12, at::TensorOptions(at::kFloat));
    at::Tensor last;
    for (std::int64_t token = 0; token < 12; ++token) {
      last = model->forward({.input_ids = golden_inputs("llama").input_ids.narrow(1, token, 1)},
                            &cache);
    }
    const at::Tensor full = model->forward(golden_inputs("llama"));
    EXPECT_LT(relative_difference(last.select(1, 0), full.select(1, 11)), 1e-5) << name;
  }
}

TEST(ModuleTree, RefusesAModuleThatIsNoLayerInALayersPlace) {
  auto model = without_weights("llama");
  try {
    replace_module(model->root(), "model.layers.0.mlp.up_proj",
                   std::make_shared<ModuleList<Layer>>());
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kType);
    EXPECT_THAT(error.what(), HasSubstr("up_proj"));
  }
  EXPECT_THROW(get_module(model->root(), "model.layers.7"), Error);
}

TEST(ModuleTree, HooksSeeInputsAndOutputsUntilTheHandleGoes) {
  const c10::InferenceMode no_gradients;
  auto model = load_golden("llama");
  int calls = 0;
  at::Tensor seen;
  {
    const HookHandle input =
        on_input(model->root(), "model.layers.0.mlp.down_proj", [&](at::Tensor&) { ++calls; });
    const HookHandle output =
        on_output(model->root(), "model.layers.1",
                  [&](const at::Tensor&, at::Tensor& states) { seen = states; });
    model->forward(golden_inputs("llama"));
    EXPECT_EQ(calls, 1);
    EXPECT_TRUE(at::equal(model->finish(seen), model->forward(golden_inputs("llama"))));
  }
  model->forward(golden_inputs("llama"));
  EXPECT_EQ(calls, 2);
}

TEST(ModuleTree, HooksOnProjectionsSeeDecodeSteps) {
  const c10::InferenceMode no_gradients;
  auto model = load_golden("llama");
  int calls = 0;
  const auto count = [&](at::Tensor&) { ++calls; };
  const HookHandle key = on_input(model->root(), "model.layers.0.self_attn.k_proj", count);
  const HookHandle up = on_input(model->root(), "model.layers.0.mlp.up_proj", count);
  KvCache cache(model->config(), 2, 4, at::TensorOptions(at::kFloat));
  model->forward({.input_ids = golden_inputs("llama").input_ids.narrow(1, 0, 1)}, &cache);
  EXPECT_EQ(calls, 2);
}

TEST(ModuleTree, ServesAnApplicationsOwnModules) {
  class Two : public Module {
   public:
    Two() : Module("Two") {
      first_ =
          add<Layer>("first", std::make_shared<Linear>(3, 4, true, at::TensorOptions(at::kFloat)));
      second_ = add<Layer>("second",
                           std::make_shared<Linear>(4, 2, false, at::TensorOptions(at::kFloat)));
    }
    at::Tensor forward(const at::Tensor& x) { return (*second_)((*first_)(x)); }

   private:
    Slot<Layer> first_, second_;
  };
  Two two;
  set_parameter(two, "first.weight", at::ones({4, 3}));
  set_parameter(two, "first.bias", at::zeros({4}));
  set_parameter(two, "second.weight", at::ones({2, 4}));
  EXPECT_TRUE(at::equal(two.forward(at::ones({1, 3})), at::full({1, 2}, 12.0)));
  replace_module(two, "second", std::make_shared<Dropout>());
  EXPECT_TRUE(at::equal(two.forward(at::ones({1, 3})), at::full({1, 4}, 3.0)));
  EXPECT_THROW(set_parameter(two, "first.weight", at::ones({3, 4})), Error);
}

TEST(Generation, GivesTheTokensOfTransformers) {
  for (const std::string& name : golden_names()) {
    if (!golden_has(name, "generated")) continue;
    auto model = load_golden(name);
    const at::Tensor ids = golden_tensor(name, "input_ids")[0].contiguous();
    const at::Tensor expected = golden_tensor(name, "generated")[0].contiguous();
    const auto list = [](const at::Tensor& t) {
      return std::vector<std::int64_t>(t.data_ptr<std::int64_t>(),
                                       t.data_ptr<std::int64_t>() + t.numel());
    };
    GenerationOptions options;
    options.max_new_tokens = 64;
    EXPECT_EQ(generate(*model, {list(ids)}, options).tokens.front(), list(expected)) << name;
  }
}

TEST(Generation, StopsWhenTheCallbackSaysSoAndAtAnEndToken) {
  auto model = load_golden("llama");
  GenerationOptions options;
  options.max_new_tokens = 20;
  const auto all = generate(*model, {{3, 4, 5}}, options).tokens.front();
  ASSERT_EQ(all.size(), 20u);
  int left = 3;
  EXPECT_EQ(
      generate(*model, {{3, 4, 5}}, options, [&](std::size_t, std::int64_t) { return --left > 0; })
          .tokens.front()
          .size(),
      3u);
  options.stop_ids = {all[1]};
  const auto stopped = generate(*model, {{3, 4, 5}}, options).tokens.front();
  EXPECT_EQ(stopped.back(), all[1]);
  EXPECT_LE(stopped.size(), 2u);
}

TEST(Generation, RepeatsASampleOfTheSameSeed) {
  auto model = load_golden("llama");
  GenerationOptions options;
  options.max_new_tokens = 24;
  options.sample = true;
  options.temperature = 2.0;
  options.seed = 5;
  const auto first = generate(*model, {{3, 4, 5}}, options).tokens;
  EXPECT_EQ(generate(*model, {{3, 4, 5}}, options).tokens, first);
  options.seed = 6;
  EXPECT_NE(generate(*model, {{3, 4, 5}}, options).tokens, first);
  options.top_k = 1;
  const auto greedy = generate(*model, {{3, 4, 5}}, options).tokens;
  options.sample = false;
  EXPECT_EQ(generate(*model, {{3, 4, 5}}, options).tokens, greedy);
}

}  // namespace
}  // namespace quanthost::model

// qlora MODEL TEXT OUT: loads MODEL in NF4, trains LoRA adapters on TEXT and saves them in OUT in
// PEFT's format.
#include <ATen/Parallel.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "examples/qlora/adapter_file.hpp"
#include "examples/qlora/train.hpp"
#include "host/base/atomic_output.hpp"
#include "host/base/file.hpp"
#include "host/checkpoint/checkpoint_writer.hpp"
#include "host/load/loader.hpp"
#include "host/load/tensor_bridge.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::qlora {
namespace {

struct Arguments {
  std::string model, text, out, dtype = "float32";
  std::vector<std::int64_t> ids;  // the trained model's logits of these go to `logits`
  std::string logits;
  std::vector<std::string> plugin_paths;
  LoraConfig lora;
  TrainOptions training;
};

LoadedModel load_in_nf4(PluginHost& plugins, const Arguments& arguments) {
  LoadOptions options;
  options.checkpoint = arguments.model;
  options.dtype = arguments.dtype;
  options.quantization =
      user_quantization("bitsandbytes_4bit",
                        {"bnb_4bit_quant_type=nf4", "bnb_4bit_compute_dtype=" + arguments.dtype});
  LoadedModel loaded = load_model(plugins, options);
  if (!loaded.quantizer->is_trainable())
    fail(ErrorKind::kValue, "{} does not support training", loaded.quantizer->plugin_id());
  return loaded;
}

void save_logits(model::Model& model, const std::vector<std::int64_t>& ids,
                 const std::string& path) {
  const c10::InferenceMode inference;
  const at::Tensor logits =
      model.forward({.input_ids = at::tensor(ids, at::kLong).unsqueeze(0)}).to(at::kFloat);
  AtomicOutput output(path, OutputKind::kFile);
  SafetensorsWriter writer(output.path(), {{"logits", to_dtype(at::kFloat), logits.sizes().vec()}});
  const at::Tensor plain = logits.contiguous();
  writer.write("logits", {static_cast<const std::byte*>(plain.const_data_ptr()), plain.nbytes()});
  writer.finish();
  output.commit();
}

int run(const Arguments& arguments) {
  PluginHostOptions host_options;
  for (const std::string& path : arguments.plugin_paths)
    host_options.plugin_paths.emplace_back(path);
  PluginHost plugins(host_options);
  LoadedModel loaded = load_in_nf4(plugins, arguments);
  const auto adapters = add_adapters(loaded.model->root(), arguments.lora);
  std::int64_t trained = 0;
  for (const Adapter& adapter : adapters)
    trained += adapter.layer->a().numel() + adapter.layer->b().numel();
  std::printf("%zu adapters with %lld parameters\n", adapters.size(),
              static_cast<long long>(trained));

  const std::vector<text::TokenId> ids =
      text::Tokenizer::load(arguments.model).encode(read_text_file(arguments.text));
  train(*loaded.model, adapters, {ids.begin(), ids.end()}, arguments.training,
        [](std::int64_t step, double loss) {
          std::printf("step %3lld  loss %.4f\n", static_cast<long long>(step), loss);
          std::fflush(stdout);
        });
  save_adapters(arguments.out, adapters, arguments.lora, arguments.model);
  std::printf("%s: adapters saved in PEFT's format\n", arguments.out.c_str());
  if (!arguments.logits.empty()) save_logits(*loaded.model, arguments.ids, arguments.logits);
  return 0;
}

}  // namespace
}  // namespace quanthost::qlora

int main(int argc, char** argv) {
  quanthost::qlora::Arguments arguments;
  CLI::App app("Fine-tunes LoRA adapters on a model that is loaded in NF4");
  app.add_option("model", arguments.model, "The model folder")->required();
  app.add_option("text", arguments.text, "A text file to train on")->required();
  app.add_option("out", arguments.out, "Directory for the adapters")->required();
  app.add_option("--plugins", arguments.plugin_paths, "Directories with plugins");
  app.add_option("--dtype", arguments.dtype, "What the model computes in")->capture_default_str();
  app.add_option("--targets", arguments.lora.targets,
                 "Layers that get adapters, by the last part of their name")
      ->capture_default_str()
      ->delimiter(',');
  app.add_option("--rank", arguments.lora.rank)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--alpha", arguments.lora.alpha)->capture_default_str();
  app.add_option("--steps", arguments.training.steps)->capture_default_str();
  app.add_option("--batch", arguments.training.batch)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--window", arguments.training.window, "Tokens of a sample")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  app.add_option("--learning-rate", arguments.training.learning_rate)->capture_default_str();
  app.add_option("--seed", arguments.training.seed)->capture_default_str();
  auto* logits = app.add_option("--logits", arguments.logits,
                                "Safetensors file for the trained model's logits of --ids");
  app.add_option("--ids", arguments.ids, "Token ids")->delimiter(',')->needs(logits);
  logits->needs(app.get_option("--ids"));
  CLI11_PARSE(app, argc, argv);
  arguments.lora.seed = arguments.training.seed;
  try {
    return quanthost::qlora::run(arguments);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "qlora: %s\n", e.what());
    return 1;
  }
}

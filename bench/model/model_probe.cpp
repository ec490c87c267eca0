// Runs one task on a model, for benchmarks and interop tests: JSON request on stdin, JSON answer on
// stdout.
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>

#include "host/model/generate.hpp"
#include "host/model/perplexity.hpp"
#include "host/model/weights.hpp"

namespace quanthost::model {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::unique_ptr<Model> open_model(const Json& request) {
  const std::filesystem::path folder = request.at("model").get<std::string>();
  const at::ScalarType dtype = scalar_type(request.value("dtype", "float32"));
  auto model = build_model(read_model_config_file(folder / "config.json"), dtype);
  load_weights(*model, Checkpoint::open(folder), dtype, SmallTypes::kKeep);
  return model;
}

// "inputs" names a safetensors file; the logits go to "out" as raw float32.
Json forward(Model& model, const Json& request) {
  const Checkpoint file = Checkpoint::open(request.at("inputs").get<std::string>());
  const auto tensor = [&](const char* name) {
    const StoredTensor* stored = file.find(name);
    return stored ? mapped_tensor(*stored).clone() : at::Tensor();
  };
  const at::Tensor output = model
                                .forward({.input_ids = tensor("input_ids"),
                                          .attention_mask = tensor("attention_mask"),
                                          .position_ids = tensor("position_ids"),
                                          .token_type_ids = tensor("token_type_ids"),
                                          .pixel_values = tensor("pixel_values")})
                                .to(at::kFloat)
                                .contiguous();
  std::ofstream(request.at("out").get<std::string>(), std::ios::binary)
      .write(static_cast<const char*>(output.const_data_ptr()),
             static_cast<std::streamsize>(output.nbytes()));
  return {{"shape", output.sizes().vec()}};
}

Json generate_ids(Model& model, const Json& request) {
  GenerationOptions options;
  options.max_new_tokens = request.at("count").get<std::int64_t>();
  const auto prompts = request.at("ids").get<std::vector<std::vector<std::int64_t>>>();
  return {{"tokens", generate(model, prompts, options).tokens}};
}

Json measure_perplexity(Model& model, const Json& request) {
  PerplexityOptions options;
  options.window = request.at("window").get<std::int64_t>();
  options.stride = request.at("stride").get<std::int64_t>();
  const Perplexity result =
      perplexity(model, request.at("ids").get<std::vector<std::int64_t>>(), options);
  return {{"perplexity", result.perplexity},
          {"nll", result.nll_sum},
          {"tokens", result.tokens},
          {"standard_error", result.standard_error}};
}

// Prefill of "ids" and "count" greedy steps, the best of "runs".
Json bench(Model& model, const Json& request) {
  GenerationOptions options;
  options.max_new_tokens = request.at("count").get<std::int64_t>() + 1;
  const auto prompts = request.at("ids").get<std::vector<std::vector<std::int64_t>>>();
  Json answer{{"prefill_tokens_per_s", 0.0}, {"decode_tokens_per_s", 0.0}};
  for (int run = 0; run < request.at("runs").get<int>(); ++run) {
    const Generation result = generate(model, prompts, options);
    const double rows = static_cast<double>(prompts.size());
    const double prefill = static_cast<double>(result.prompt_tokens) / result.prefill_seconds;
    const double decode = rows * static_cast<double>(result.steps) / result.decode_seconds;
    answer["prefill_tokens_per_s"] =
        std::max(answer["prefill_tokens_per_s"].get<double>(), prefill);
    answer["decode_tokens_per_s"] = std::max(answer["decode_tokens_per_s"].get<double>(), decode);
  }
  return answer;
}

Json answer(const Json& request) {
  if (request.contains("threads")) at::set_num_threads(request.at("threads").get<int>());
  const c10::InferenceMode no_gradients;
  const double start = now();
  const auto model = open_model(request);
  const double load_seconds = now() - start;
  const std::string task = request.at("task").get<std::string>();
  Json result = task == "forward"      ? forward(*model, request)
                : task == "generate"   ? generate_ids(*model, request)
                : task == "perplexity" ? measure_perplexity(*model, request)
                : task == "bench"      ? bench(*model, request)
                                       : throw Error(ErrorKind::kValue, "unknown task: " + task);
  result["load_s"] = load_seconds;
  return result;
}

}  // namespace
}  // namespace quanthost::model

int main() try {
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  std::cout << quanthost::model::answer(quanthost::parse_json(text, "request")) << std::endl;
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}

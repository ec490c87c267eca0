#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <sstream>

#include "host/base/atomic_output.hpp"
#include "host/checkpoint/safetensors_writer.hpp"
#include "host/cli/model_verbs/open_model.hpp"
#include "host/model/model_inputs.hpp"
#include "host/model/weights.hpp"

namespace quanthost::cli {
namespace {

struct ForwardOptions {
  ModelOptions model;
  std::string ids, inputs, out;
};

at::Tensor parse_ids(const std::string& text) {
  std::vector<std::int64_t> ids;
  std::stringstream stream(text);
  for (std::string item; std::getline(stream, item, ',');)
    ids.push_back(parse_integer("--ids", item, 0));
  if (ids.empty())
    throw CommandError(ExitCode::kUsage, ErrorKind::kValue, "--ids is empty",
                       "give token ids like 1,2,3");
  return at::tensor(ids, at::kLong).unsqueeze(0);
}

// A safetensors file whose tensors are named as forward()'s arguments in transformers.
model::ModelInputs read_inputs(const Checkpoint& file) {
  model::ModelInputs inputs;
  for (const std::string_view name : model::kInputNames) {
    if (const StoredTensor* stored = file.find(std::string(name)))
      model::input_named(inputs, name) = model::mapped_tensor(*stored).clone();
  }
  return inputs;
}

void write_result(const std::string& path, const std::string& name, const at::Tensor& result) {
  AtomicOutput output(path, OutputKind::kFile);
  SafetensorsWriter writer(output.path(), {{name, Dtype::kF32, result.sizes().vec()}},
                           {{"format", "pt"}});
  writer.write(name, {static_cast<const std::byte*>(result.const_data_ptr()), result.nbytes()});
  writer.finish();
  output.commit();
}

int forward(Session& session, const ForwardOptions& options) {
  if (options.ids.empty() == options.inputs.empty())
    throw CommandError(ExitCode::kUsage, ErrorKind::kValue,
                       "forward needs either --ids or --inputs");
  if (options.out.empty())
    throw CommandError(ExitCode::kUsage, ErrorKind::kValue, "forward needs --out FILE.safetensors");
  const c10::InferenceMode no_gradients;
  model::ModelInputs inputs;
  if (options.inputs.empty())
    inputs.input_ids = parse_ids(options.ids);
  else
    inputs = read_inputs(Checkpoint::open(options.inputs));
  const OpenedModel opened = open_model(session, options.model);
  model::check_inputs(*opened.model, inputs);
  const at::Tensor result = opened.model->forward(inputs).to(at::kFloat).contiguous();
  const std::string name = opened.model->has_head() ? "logits" : "last_hidden_state";
  write_result(options.out, name, result);
  if (session.json())
    session.print_json("forward", {{"out", options.out},
                                   {"tensor", name},
                                   {"shape", result.sizes().vec()},
                                   {"load_s", opened.load_seconds}});
  else
    session.print(
        fmt::format("{}: {} of {}", options.out, name, Json(result.sizes().vec()).dump()));
  return 0;
}

}  // namespace

void add_forward(Verb root, Session& session) {
  auto options = std::make_shared<ForwardOptions>();
  Verb verb = model_verb(
      root, "forward",
      "  quanthost forward models/smollm2 --ids 1,2,3 --out logits.safetensors\n"
      "  quanthost forward models/vit --inputs pixels.safetensors --out logits.safetensors");
  add_model_options(verb, options->model);
  verb.option("--ids", options->ids, "Token ids, separated by commas")
      .option("--inputs", options->inputs,
              "A safetensors file with input_ids, attention_mask, pixel_values, …")
      .option("--out", options->out, "Where to write the result")
      .run([&session, options] { return forward(session, *options); });
}

}  // namespace quanthost::cli

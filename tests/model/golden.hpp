// The checked-in models of tests/model/goldens, and how far two results may lie apart.
#pragma once

#include <ATen/ATen.h>

#include "host/model/weights.hpp"
#include "tests/folders.hpp"

namespace quanthost::model {

inline std::filesystem::path golden_folder(const std::string& name) {
  return std::filesystem::path(test::source_folder()) / "tests/model/goldens" / name;
}

inline std::unique_ptr<Model> load_golden(const std::string& name,
                                          at::ScalarType dtype = at::kFloat,
                                          SmallTypes small = SmallTypes::kConvert) {
  auto model = build_model(read_model_config_file(golden_folder(name) / "config.json"), dtype);
  load_weights(*model, Checkpoint::open(golden_folder(name)), dtype, small);
  return model;
}

inline at::Tensor golden_tensor(const std::string& name, const std::string& tensor) {
  const Checkpoint file = Checkpoint::open(golden_folder(name) / "expected.safetensors");
  return mapped_tensor(file.at(tensor)).clone();
}

inline bool golden_has(const std::string& name, const std::string& tensor) {
  return Checkpoint::open(golden_folder(name) / "expected.safetensors").find(tensor) != nullptr;
}

inline ModelInputs golden_inputs(const std::string& name) {
  ModelInputs inputs;
  const bool image = golden_has(name, "pixel_values");
  (image ? inputs.pixel_values : inputs.input_ids) =
      golden_tensor(name, image ? "pixel_values" : "input_ids");
  return inputs;
}

// The largest difference over the largest value.
inline double relative_difference(const at::Tensor& actual, const at::Tensor& expected) {
  if (actual.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  const at::Tensor difference = (actual.to(at::kDouble) - expected.to(at::kDouble)).abs().max();
  return (difference / expected.to(at::kDouble).abs().max()).item<double>();
}

inline const std::vector<std::string>& golden_names() {
  static const std::vector<std::string> kNames{
      "llama",   "llama_tied_bias", "llama_linear", "llama_dynamic", "llama_bare", "mistral",
      "mixtral", "qwen2",           "qwen3",        "gemma2",        "phi3",       "gpt_neox",
      "gpt2",    "gpt_neox_serial", "opt",          "opt_post_norm", "bert",       "bert_bare",
      "vit",     "vit_bare"};
  return kNames;
}

}  // namespace quanthost::model

// The families there are. A variation of llama is a row here and nothing else.
#include <algorithm>
#include <array>

#include "host/base/error.hpp"
#include "host/model/config.hpp"

namespace quanthost::model {
namespace {

constexpr std::array kFamilies{
    FamilyTraits{.model_type = "llama", .class_prefix = "Llama"},
    FamilyTraits{
        .model_type = "mistral", .class_prefix = "Mistral", .window = WindowRule::kAllLayers},
    FamilyTraits{.model_type = "mixtral",
                 .class_prefix = "Mixtral",
                 .experts = true,
                 .window = WindowRule::kAllLayers},
    FamilyTraits{.model_type = "qwen2",
                 .class_prefix = "Qwen2",
                 .qkv_bias = true,
                 .window = WindowRule::kFromMaxWindowLayers},
    FamilyTraits{.model_type = "qwen3",
                 .class_prefix = "Qwen3",
                 .query_key_norm = true,
                 .window = WindowRule::kFromMaxWindowLayers},
    FamilyTraits{.model_type = "gemma2",
                 .class_prefix = "Gemma2",
                 .tied_by_default = true,
                 .gemma = true,
                 .window = WindowRule::kEvenLayers},
    FamilyTraits{.model_type = "phi3",
                 .class_prefix = "Phi3",
                 .fused_projections = true,
                 .window = WindowRule::kAllLayers},
    FamilyTraits{
        .model_type = "gpt_neox", .class_prefix = "GPTNeoX", .structure = Structure::kGptNeox},
    FamilyTraits{.model_type = "gpt2",
                 .class_prefix = "GPT2",
                 .structure = Structure::kGpt2,
                 .tied_by_default = true},
    FamilyTraits{.model_type = "opt",
                 .class_prefix = "OPT",
                 .structure = Structure::kOpt,
                 .tied_by_default = true},
    FamilyTraits{.model_type = "bert",
                 .class_prefix = "Bert",
                 .structure = Structure::kBert,
                 .tied_by_default = true},
    FamilyTraits{.model_type = "vit", .class_prefix = "ViT", .structure = Structure::kVit},
};

}  // namespace

const FamilyTraits& family_traits(std::string_view model_type) {
  const auto row = std::ranges::find(kFamilies, model_type, &FamilyTraits::model_type);
  if (row != kFamilies.end()) return *row;
  std::string names;
  for (std::string_view name : supported_families())
    names.append(names.empty() ? "" : ", ").append(name);
  throw Error(ErrorKind::kNotImplemented,
              fmt::format("config.json: model_type '{}' is not supported", model_type),
              fmt::format("supported: {}", names));
}

std::vector<std::string_view> supported_families() {
  std::vector<std::string_view> names;
  names.reserve(std::size(kFamilies));
  for (const FamilyTraits& family : kFamilies) names.push_back(family.model_type);
  return names;
}

}  // namespace quanthost::model

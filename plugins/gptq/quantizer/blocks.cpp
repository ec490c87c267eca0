// Which layers are quantized, and which of them together.
#include "quantizer/blocks.hpp"

#include <algorithm>
#include <set>

namespace quanthost::gptq {
namespace {

constexpr const char* kBlockLists[] = {"transformer.h",
                                       "model.decoder.layers",
                                       "gpt_neox.layers",
                                       "model.layers",
                                       "model.language_model.layers",
                                       "h",
                                       "decoder.layers",
                                       "layers"};

bool lies_in(const std::string& name, const std::string& list) {
  return name.size() > list.size() && name.compare(0, list.size(), list) == 0 &&
         name[list.size()] == '.';
}

std::string block_list(const std::vector<qh::ModuleDesc>& modules, const Options& options) {
  if (!options.block_name.empty()) return options.block_name;
  for (const char* list : kBlockLists)
    if (std::any_of(modules.begin(), modules.end(),
                    [&](const qh::ModuleDesc& m) { return lies_in(m.name, list); }))
      return list;
  return {};
}

// "model.layers.3.self_attn.q_proj" in the list "model.layers" is "self_attn.q_proj".
std::string name_in_block(const std::string& name, const std::string& list) {
  const std::size_t dot = name.find('.', list.size() + 1);
  return dot == std::string::npos ? std::string() : name.substr(dot + 1);
}

std::set<std::string> all_names(const std::vector<LayerSubset>& subsets) {
  std::set<std::string> names;
  for (const LayerSubset& subset : subsets) names.insert(subset.begin(), subset.end());
  return names;
}

}  // namespace

bool is_linear(const qh::ModuleDesc& module) {
  return module.class_name == "Linear" || module.class_name == "Conv1D";
}

std::vector<std::string> layers_to_quantize(const std::vector<qh::ModuleDesc>& modules,
                                            const Options& options) {
  const std::string list = block_list(modules, options);
  const std::set<std::string> chosen = all_names(options.subsets);
  std::vector<std::string> names;
  for (const qh::ModuleDesc& module : modules)
    if (!list.empty() && is_linear(module) && lies_in(module.name, list) &&
        (chosen.empty() || chosen.count(name_in_block(module.name, list))))
      names.push_back(module.name);
  return names;
}

std::vector<LayerSubset> subsets_of_block(const std::string& block,
                                          const std::vector<std::string>& layers,
                                          const Options& options) {
  std::vector<LayerSubset> subsets;
  if (options.subsets.empty()) {
    for (const std::string& layer : layers) subsets.push_back({layer});
  } else {
    for (const LayerSubset& names : options.subsets) {
      LayerSubset& subset = subsets.emplace_back();
      for (const std::string& name : names) {
        std::string full = block;
        full.append(".").append(name);
        if (std::find(layers.begin(), layers.end(), full) != layers.end()) subset.push_back(full);
      }
      if (subset.empty()) subsets.pop_back();
    }
  }
  if (options.true_sequential) return subsets;
  LayerSubset together;
  for (const LayerSubset& subset : subsets)
    together.insert(together.end(), subset.begin(), subset.end());
  subsets.clear();
  if (!together.empty()) subsets.push_back(std::move(together));
  return subsets;
}

void check_subset_names(const std::vector<std::vector<std::string>>& layers_of_blocks,
                        const std::vector<std::string>& blocks, const Options& options) {
  std::set<std::string> known;
  for (std::size_t b = 0; b < blocks.size(); ++b)
    for (const std::string& layer : layers_of_blocks[b])
      known.insert(layer.substr(std::min(layer.size(), blocks[b].size() + 1)));
  for (const std::string& name : all_names(options.subsets)) {
    if (known.count(name)) continue;
    std::string there;
    for (const std::string& layer : known) there += (there.empty() ? "" : ", ") + layer;
    throw qh::Error(QH_ERR_VALUE,
                    "modules_in_block_to_quantize names '" + name +
                        "', and no block of the model has such a layer",
                    "a block has " + there);
  }
}

}  // namespace quanthost::gptq

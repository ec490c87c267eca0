#include "host/load/calibration/blocks.hpp"

#include <algorithm>
#include <array>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

// In the order in which optimum 2.3 tries them; the last three are those of models without a head.
constexpr std::array kBlockPrefixes = {"transformer.h",
                                       "model.decoder.layers",
                                       "gpt_neox.layers",
                                       "model.layers",
                                       "model.language_model.layers",
                                       "h",
                                       "decoder.layers",
                                       "layers"};

// In transformers the router of experts is a class of its own, which optimum leaves alone.
bool is_router(const model::ModuleEntry& entry) {
  return entry.parent && entry.name.ends_with(".gate") &&
         entry.parent->name().ends_with("SparseMoeBlock");
}

}  // namespace

std::string find_block_prefix(const std::vector<model::ModuleEntry>& modules) {
  for (const char* prefix : kBlockPrefixes) {
    const auto begins = [&](const model::ModuleEntry& entry) {
      return entry.name.starts_with(prefix);
    };
    if (std::any_of(modules.begin(), modules.end(), begins)) return prefix;
  }
  throw Error(
      ErrorKind::kValue,
      "no list of blocks was found: no module's name begins as those of the known models do",
      "name the list with block_name_to_quantize");
}

std::vector<std::string> linear_layers_in(const std::vector<model::ModuleEntry>& modules,
                                          const std::string& block) {
  std::vector<std::string> names;
  for (const model::ModuleEntry& entry : modules) {
    if (!entry.name.starts_with(block + ".") || is_router(entry)) continue;
    if (entry.class_name == "Linear" || entry.class_name == "Conv1D") names.push_back(entry.name);
  }
  return names;
}

}  // namespace quanthost

// The repeated blocks of a model and the layers in them, as optimum finds them.
#pragma once

#include <quanthost/plugin/model.hpp>
#include <string>
#include <vector>

#include "quantizer/options.hpp"

namespace quanthost::gptq {

bool is_linear(const qh::ModuleDesc& module);

// The linear layers that a config names when a checkpoint cannot be asked: those inside of blocks,
// or of them the ones in modules_in_block_to_quantize.
std::vector<std::string> layers_to_quantize(const std::vector<qh::ModuleDesc>& modules,
                                            const Options& options);

// The layers of one block in the lists that are quantized together, full names in and out.
// `layers` is in the order of the model.
std::vector<LayerSubset> subsets_of_block(const std::string& block,
                                          const std::vector<std::string>& layers,
                                          const Options& options);

// Throws qh::Error (value) for a name of modules_in_block_to_quantize that no block has.
void check_subset_names(const std::vector<std::vector<std::string>>& layers_of_blocks,
                        const std::vector<std::string>& blocks, const Options& options);

}  // namespace quanthost::gptq

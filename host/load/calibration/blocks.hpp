// Where the blocks of a model are and which of their layers are quantized, as optimum finds them.
#pragma once

#include <string>
#include <vector>

#include "host/model/module_tree.hpp"

namespace quanthost {

// The first of optimum's known names of block lists that some module's name begins with. Throws
// kValue when there is none.
std::string find_block_prefix(const std::vector<model::ModuleEntry>& modules);

// The linear layers (Linear and Conv1D, no routers of experts) inside `block`, by their full names
// in the order of named_modules.
std::vector<std::string> linear_layers_in(const std::vector<model::ModuleEntry>& modules,
                                          const std::string& block);

}  // namespace quanthost

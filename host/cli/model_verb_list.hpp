// The verbs that need a model, by name: known to the program, which has no LibTorch, and told in
// full by libquanthost.so.
#pragma once

#include <string_view>
#include <vector>

namespace quanthost::cli {

struct ModelVerb {
  const char* name;
  const char* summary;
};
const std::vector<ModelVerb>& model_verb_list();          // in the order of the help
const ModelVerb* find_model_verb(std::string_view name);  // null: not one of them

}  // namespace quanthost::cli

// libquanthost.so as the program sees it: opened when a verb that needs a model is asked for.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "host/base/json.hpp"
#include "host/cli/verb_table.hpp"

namespace quanthost::cli {

std::filesystem::path find_model_library();  // empty: not installed

// Runs one verb there; `arguments` starts with the verb. Returns its exit code. Throws CommandError
// when the library is missing or is of another build.
int run_model_verb(const std::vector<std::string>& arguments);

struct ModelLibraryInfo {
  std::filesystem::path file;
  std::string version, libtorch, libtorch_file;
  std::vector<VerbEntry> verbs;  // with all their options
};
// Opens the library. Throws as run_model_verb does.
ModelLibraryInfo describe_model_library();

}  // namespace quanthost::cli

#include "host/cli/full_table.hpp"

#include <functional>

#include "host/cli/model_library.hpp"

namespace quanthost::cli {

VerbEntry full_table(VerbEntry program) {
  if (find_model_library().empty()) return program;
  for (const VerbEntry& told : describe_model_library().verbs)
    for (VerbEntry& verb : program.verbs)
      if (verb.name == told.name) verb = told;
  return program;
}

std::vector<std::pair<std::string, const VerbEntry*>> walk(const VerbEntry& root) {
  std::vector<std::pair<std::string, const VerbEntry*>> out;
  const std::function<void(const std::string&, const VerbEntry&)> visit =
      [&](const std::string& above, const VerbEntry& verb) {
        const std::string path = above.empty() ? verb.name : above + " " + verb.name;
        out.emplace_back(path, &verb);
        for (const VerbEntry& below : verb.verbs) visit(path, below);
      };
  visit("", root);
  return out;
}

}  // namespace quanthost::cli

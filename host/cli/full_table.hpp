// The whole command as a table: the program's own verbs, and those of libquanthost.so with all
// their options where it is installed.
#pragma once

#include "host/cli/verb_table.hpp"

namespace quanthost::cli {

VerbEntry full_table(VerbEntry program);

// Verbs that do something or hold others, depth first: ("quanthost plugins list", entry).
std::vector<std::pair<std::string, const VerbEntry*>> walk(const VerbEntry& root);

}  // namespace quanthost::cli

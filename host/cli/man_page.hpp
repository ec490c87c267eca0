// Manual pages in roff's man macros, from the table of verbs. Pure functions.
#pragma once

#include <string>

#include "host/cli/verb_table.hpp"

namespace quanthost::cli {

// `path` is "quanthost plugins list", `verb` its entry, `root` the whole command.
std::string man_page(const std::string& path, const VerbEntry& verb, const VerbEntry& root);

}  // namespace quanthost::cli

// Completion scripts of three shells, written from the table of verbs. Pure functions.
#pragma once

#include <string>

#include "host/cli/verb_table.hpp"

namespace quanthost::cli {

std::string bash_completion(const VerbEntry& command);
std::string zsh_completion(const VerbEntry& command);
std::string fish_completion(const VerbEntry& command);

}  // namespace quanthost::cli

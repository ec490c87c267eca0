// Runs a parsed template.
#pragma once

#include <string>

#include "host/text/jinja/syntax_tree.hpp"

namespace quanthost::text::jinja {

// Throws with the line of the template. Steps and output are limited, so that a hostile template
// ends.
std::string render(const Block& block, const Dict& variables);

}  // namespace quanthost::text::jinja

// Where the sources and what was built lie. The answers are in one generated file: paths on the
// command line of every test's compilation would keep ccache from sharing objects between
// checkouts.
#pragma once

#include <string>

namespace quanthost::test {

std::string source_folder();
std::string build_folder();

// A plugin of build/plugins, by its name without the suffix.
inline std::string built_plugin(const std::string& name) {
  return build_folder() + "/plugins/" + name + ".so";
}

}  // namespace quanthost::test

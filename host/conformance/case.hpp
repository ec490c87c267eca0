// One conformance test: a named sentence about what a plugin has to do, run in a process of its
// own.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "host/conformance/mock_host.hpp"
#include "host/plugins/manifest.hpp"

namespace quanthost::conformance {

// The requirement is not met; what() says what was found.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// The test does not apply to this plugin; what() says why.
struct Skipped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What every case gets.
struct Subject {
  std::string path;  // absolute
  Manifest manifest;
  std::uint64_t seed = 1;
  std::map<std::string, MockPackage, std::less<>>
      packages;  // providers found beside the plugin, and the host's own
};

struct Case {
  const char* name;      // "negotiation.refuses-older-host"
  const char* sentence;  // "A host whose ABI is older is refused with one clear sentence"
  const char* rule;      // the rule of docs/abi.md it enforces
  void (*run)(const Subject&);
};

const std::vector<Case>& all_cases();  // in the order in which they are reported

// The groups, one file each.
extern const std::vector<Case> kLibraryCases;
extern const std::vector<Case> kEntryCases;
extern const std::vector<Case> kQuantizerCases;
extern const std::vector<Case> kLoadCases;
extern const std::vector<Case> kNumericCases;
extern const std::vector<Case> kPackageCases;

template <typename... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) throw Failure(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace quanthost::conformance

#include "host/conformance/case.hpp"

namespace quanthost::conformance {

const std::vector<Case>& all_cases() {
  static const std::vector<Case> cases = [] {
    std::vector<Case> all;
    for (const auto* group : {&kLibraryCases, &kEntryCases, &kPackageCases, &kQuantizerCases,
                              &kLoadCases, &kNumericCases})
      all.insert(all.end(), group->begin(), group->end());
    return all;
  }();
  return cases;
}

}  // namespace quanthost::conformance

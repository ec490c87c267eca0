// The plugins through the conformance suite, as `quanthost validate` runs it.
#include <gtest/gtest.h>

#include "host/conformance/suite.hpp"
#include "tests/folders.hpp"

namespace quanthost::conformance {
namespace {

class Bnb4Plugins : public testing::TestWithParam<const char*> {};

TEST_P(Bnb4Plugins, PassTheWholeSuite) {
  std::string failures;
  const std::string path = test::built_plugin(GetParam());
  const SuiteResult result = run_suite(path, {}, [&](const CaseResult& r) {
    if (r.outcome == Outcome::kFailed || r.outcome == Outcome::kCrashed)
      failures += r.name + ": " + r.detail + "\n";
  });
  EXPECT_TRUE(result.conformant()) << failures;
}

INSTANTIATE_TEST_SUITE_P(Plugins, Bnb4Plugins,
                         testing::Values("qh_bnb4", "qh_bnb4_cpu", "qh_bnb4_emulated"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace quanthost::conformance

// The two plugins through the conformance suite, as `quanthost validate` runs it.
#include <gtest/gtest.h>

#include "host/conformance/suite.hpp"
#include "tests/folders.hpp"

namespace quanthost::conformance {
namespace {

class QuantoPlugins : public testing::TestWithParam<const char*> {};

TEST_P(QuantoPlugins, PassTheWholeSuite) {
  std::string failures;
  const SuiteResult result =
      run_suite(test::built_plugin(GetParam()), {}, [&](const CaseResult& r) {
        if (r.outcome == Outcome::kFailed || r.outcome == Outcome::kCrashed)
          failures += r.name + ": " + r.detail + "\n";
      });
  EXPECT_TRUE(result.conformant()) << failures;
}

INSTANTIATE_TEST_SUITE_P(Plugins, QuantoPlugins, testing::Values("qh_quanto", "qh_quanto_cpu"),
                         [](const auto& info) {
                           return info.index == 0 ? "quanto" : "quanto_cpu";
                         });

}  // namespace
}  // namespace quanthost::conformance

// The kernel package through the conformance suite, as `quanthost validate` runs it.
#include <gtest/gtest.h>

#include "host/conformance/suite.hpp"

namespace quanthost::conformance {
namespace {

TEST(GptqCpuPlugin, PassesTheWholeSuite) {
  std::string failures;
  const SuiteResult result = run_suite(GPTQ_PROVIDER, {}, [&](const CaseResult& r) {
    if (r.outcome == Outcome::kFailed || r.outcome == Outcome::kCrashed)
      failures += r.name + ": " + r.detail + "\n";
  });
  EXPECT_TRUE(result.conformant()) << failures;
}

}  // namespace
}  // namespace quanthost::conformance

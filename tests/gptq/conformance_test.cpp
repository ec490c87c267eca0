// The plugins through the conformance suite, as `quanthost validate` runs it.
#include <gtest/gtest.h>

#include "host/conformance/suite.hpp"

namespace quanthost::conformance {
namespace {

void expect_conformant(const char* plugin) {
  std::string failures;
  const SuiteResult result = run_suite(plugin, {}, [&](const CaseResult& r) {
    if (r.outcome == Outcome::kFailed || r.outcome == Outcome::kCrashed)
      failures += r.name + ": " + r.detail + "\n";
  });
  EXPECT_TRUE(result.conformant()) << failures;
}

TEST(GptqCpuPlugin, PassesTheWholeSuite) { expect_conformant(GPTQ_PROVIDER); }

TEST(GptqEmulatedPlugin, PassesTheWholeSuite) { expect_conformant(GPTQ_EMULATED_PROVIDER); }

TEST(GptqPlugin, PassesTheWholeSuite) { expect_conformant(GPTQ_PLUGIN); }

}  // namespace
}  // namespace quanthost::conformance

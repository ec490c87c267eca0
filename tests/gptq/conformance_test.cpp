// The plugins through the conformance suite, as `quanthost validate` runs it.
#include <gtest/gtest.h>

#include "host/conformance/suite.hpp"
#include "tests/folders.hpp"

namespace quanthost::conformance {
namespace {

void expect_conformant(const std::string& plugin) {
  std::string failures;
  const SuiteResult result = run_suite(plugin, {}, [&](const CaseResult& r) {
    if (r.outcome == Outcome::kFailed || r.outcome == Outcome::kCrashed)
      failures += r.name + ": " + r.detail + "\n";
  });
  EXPECT_TRUE(result.conformant()) << failures;
}

TEST(GptqCpuPlugin, PassesTheWholeSuite) { expect_conformant(test::built_plugin("qh_gptq_cpu")); }

TEST(GptqEmulatedPlugin, PassesTheWholeSuite) {
  expect_conformant(test::built_plugin("qh_gptq_emulated"));
}

TEST(GptqPlugin, PassesTheWholeSuite) { expect_conformant(test::built_plugin("gptq")); }

}  // namespace
}  // namespace quanthost::conformance

#include "host/conformance/suite.hpp"

#include <gtest/gtest.h>

#include "tests/folders.hpp"

namespace quanthost::conformance {
namespace {

std::vector<std::string> failing_cases(const SuiteResult& result) {
  std::vector<std::string> out;
  for (const CaseResult& r : result.cases)
    if (r.outcome == Outcome::kFailed || r.outcome == Outcome::kCrashed)
      out.push_back(r.name + ": " + r.detail);
  return out;
}

SuiteResult run(const std::string& file, const std::string& filter = "") {
  SuiteOptions options;
  options.filter = filter;
  return run_suite(file, options);
}

std::string broken_plugin(const std::string& fault) {
  return test::build_folder() + "/tests/conformance/broken/broken_" + fault + ".so";
}

class Samples : public testing::TestWithParam<const char*> {};

TEST_P(Samples, PassTheWholeSuite) {
  const SuiteResult result = run(test::built_plugin(GetParam()));
  EXPECT_TRUE(result.conformant()) << testing::PrintToString(failing_cases(result));
  EXPECT_GT(result.count(Outcome::kPassed), 25u);
}

INSTANTIATE_TEST_SUITE_P(Plugins, Samples, testing::Values("absmax8", "absmax8_c"));

struct Fault {
  const char* plugin;
  const char* caught_by;
  const char* detail;
};
void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.plugin; }

class Faults : public testing::TestWithParam<Fault> {};

TEST_P(Faults, AreCaughtByTheCaseThatNamesThem) {
  const SuiteResult result = run(broken_plugin(GetParam().plugin), GetParam().caught_by);
  ASSERT_EQ(result.cases.size(), 1u);
  EXPECT_FALSE(result.conformant());
  EXPECT_NE(result.cases[0].detail.find(GetParam().detail), std::string::npos)
      << result.cases[0].detail;
}

INSTANTIATE_TEST_SUITE_P(
    Plugins, Faults,
    testing::Values(
        Fault{"no_error_text", "module.refuses-unknown-parameters", "without saying why"},
        Fault{"leaks_tensors", "load.survives-failing-allocations", "were left"},
        Fault{"wrong_forward", "numeric.forward-multiplies-by-the-weight", "relative"},
        Fault{"crashes_in_forward", "numeric.forward-is-repeatable", "signal 9"},
        Fault{"writes_past_accept", "negotiation.keeps-to-short-accept", "wrote at offset 8"},
        Fault{"extra_symbol", "library.exports-one-symbol", "broken_plugin_extra"},
        Fault{"other_id", "table.says-what-the-manifest-says", "broken"}));

TEST(Suite, RefusesAFileThatIsNoPlugin) { EXPECT_ANY_THROW(run("/dev/null")); }

TEST(Suite, WritesJUnitThatNamesTheSeedAndTheFailures) {
  const SuiteResult result = run(broken_plugin("extra_symbol"), "library.exports-one-symbol");
  const std::string xml = to_junit(result);
  EXPECT_NE(xml.find("<property name=\"seed\" value=\"1\"/>"), std::string::npos);
  EXPECT_NE(xml.find("<failure message=\"it exports "), std::string::npos);
}

}  // namespace
}  // namespace quanthost::conformance

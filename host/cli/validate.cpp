#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>

#include "host/cli/option_values.hpp"
#include "host/cli/verbs.hpp"
#include "host/conformance/suite.hpp"

namespace quanthost::cli {
namespace {

struct ValidateOptions {
  std::string file, filter, seed = "1", junit;
  bool list = false;
};

int list_all(Session& session) {
  OrderedJson cases = OrderedJson::array();
  for (const conformance::CaseInfo& c : conformance::list_cases()) {
    if (session.json())
      cases.push_back({{"name", c.name}, {"sentence", c.sentence}, {"rule", c.rule}});
    else
      session.print(fmt::format("{:<9} {:<42} {}", c.rule, c.name, c.sentence));
  }
  if (session.json()) session.print_json("validate.cases", {{"cases", cases}});
  return 0;
}

void write_junit(const std::string& path, const conformance::SuiteResult& result) {
  std::ofstream out(path, std::ios::binary);
  out << conformance::to_junit(result);
  if (!out.flush()) fail(ErrorKind::kOs, "{}: the JUnit report cannot be written", path);
}

int validate(Session& session, const ValidateOptions& options) {
  if (options.list) return list_all(session);
  if (options.file.empty())
    throw CommandError(ExitCode::kUsage, ErrorKind::kValue, "validate needs the file of a plugin",
                       "quanthost validate ./myplugin.so");
  conformance::SuiteOptions suite;
  suite.filter = options.filter;
  suite.seed = static_cast<std::uint64_t>(parse_integer("--seed", options.seed, 0));
  for (const SearchDirectory& directory : session.plugins().search_path())
    suite.provider_paths.push_back(directory.path);
  const conformance::SuiteResult result =
      conformance::run_suite(options.file, suite, [&](const conformance::CaseResult& r) {
        if (!session.json()) session.print(conformance::to_text(r, session.colours()));
      });
  if (!options.junit.empty()) write_junit(options.junit, result);
  if (session.json()) {
    session.print_json("validate", OrderedJson(conformance::to_json(result)));
  } else {
    using conformance::Outcome;
    session.print(fmt::format("{} {}: {} passed, {} failed, {} crashed, {} skipped (seed {})",
                              result.id, result.version, result.count(Outcome::kPassed),
                              result.count(Outcome::kFailed), result.count(Outcome::kCrashed),
                              result.count(Outcome::kSkipped), result.seed));
  }
  return result.conformant() ? 0 : static_cast<int>(ExitCode::kFailed);
}

}  // namespace

void add_validate(Verb parent, Session& session) {
  auto options = std::make_shared<ValidateOptions>();
  parent
      .verb("validate", "Run the conformance suite on a plugin, each case in a process of its own",
            "  quanthost validate build/plugins/absmax8.so\n  quanthost validate --only numeric "
            "--seed 7 mine.so\n"
            "  quanthost validate --junit report.xml mine.so\n  quanthost validate --list")
      .group("Plugins")
      .optional_argument("file", options->file, "The plugin's file")
      .option("--only", options->filter, "Only cases whose name contains this")
      .option("--seed", options->seed,
              "Seed of all random data; a failure repeats with the same seed (default 1)")
      .option("--junit", options->junit, "Also write a JUnit report to this file")
      .flag("--list", options->list, "List the cases and the rules they enforce")
      .run([&session, options] { return validate(session, *options); });
}

}  // namespace quanthost::cli

// Runs the conformance cases on a plugin file, each in a process of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "host/base/json.hpp"

namespace quanthost::conformance {

struct SuiteOptions {
  std::string filter;      // cases whose name contains this; empty: all
  std::uint64_t seed = 1;  // of all random data; a failure is reproduced with the same seed
  std::chrono::milliseconds limit{60'000};  // for one case
  std::size_t at_once = 2;
  std::vector<std::filesystem::path>
      provider_paths;  // where kernel packages are looked for; the plugin's folder always is
};

enum class Outcome { kPassed, kFailed, kCrashed, kSkipped };
std::string_view name_of(Outcome outcome);

struct CaseResult {
  std::string name;
  std::string sentence;
  std::string rule;
  Outcome outcome = Outcome::kFailed;
  std::string detail;  // why it failed or was skipped
  double seconds = 0;
};

struct SuiteResult {
  std::string file;
  std::string id, version;
  std::uint64_t seed = 0;
  std::vector<CaseResult> cases;

  std::size_t count(Outcome outcome) const;
  bool conformant() const { return count(Outcome::kFailed) + count(Outcome::kCrashed) == 0; }
};

// Throws kValue when the file is no plugin at all, kOs when the helper program is missing.
SuiteResult run_suite(const std::filesystem::path& file, const SuiteOptions& options,
                      const std::function<void(const CaseResult&)>& on_result = {});

struct CaseInfo {
  std::string name, sentence, rule;
};
std::vector<CaseInfo> list_cases();

// One case in this process; called by the helper program. Never throws.
CaseResult run_case(const std::filesystem::path& file, const std::string& name, std::uint64_t seed,
                    const std::vector<std::filesystem::path>& provider_paths);
Json to_json(const CaseResult& result);

// Reports.
Json to_json(const SuiteResult& result);  // schema quanthost.validate, version 1
std::string to_junit(const SuiteResult& result);
std::string to_text(const CaseResult& result, bool colour);  // one line, and the reason under it

}  // namespace quanthost::conformance

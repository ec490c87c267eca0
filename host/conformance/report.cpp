#include <fmt/format.h>

#include "host/conformance/suite.hpp"

namespace quanthost::conformance {
namespace {

std::string xml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t')
      out += '?';
    else
      out += c;
  }
  return out;
}

}  // namespace

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kPassed:
      return "passed";
    case Outcome::kFailed:
      return "failed";
    case Outcome::kCrashed:
      return "crashed";
    case Outcome::kSkipped:
      return "skipped";
  }
  return "failed";
}

Json to_json(const CaseResult& r) {
  return {{"name", r.name},     {"sentence", r.sentence},
          {"rule", r.rule},     {"outcome", name_of(r.outcome)},
          {"detail", r.detail}, {"seconds", r.seconds}};
}

Json to_json(const SuiteResult& result) {
  Json cases = Json::array();
  for (const CaseResult& r : result.cases) cases.push_back(to_json(r));
  return {{"schema", "quanthost.validate"},
          {"schema_version", 1},
          {"file", result.file},
          {"id", result.id},
          {"version", result.version},
          {"seed", result.seed},
          {"conformant", result.conformant()},
          {"passed", result.count(Outcome::kPassed)},
          {"failed", result.count(Outcome::kFailed)},
          {"crashed", result.count(Outcome::kCrashed)},
          {"skipped", result.count(Outcome::kSkipped)},
          {"cases", cases}};
}

std::string to_junit(const SuiteResult& result) {
  std::string out = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"quanthost validate {}\" "
      "tests=\"{}\" failures=\"{}\" "
      "errors=\"{}\" skipped=\"{}\">\n  <properties><property name=\"seed\" "
      "value=\"{}\"/></properties>\n",
      xml(result.id), result.cases.size(), result.count(Outcome::kFailed),
      result.count(Outcome::kCrashed), result.count(Outcome::kSkipped), result.seed);
  for (const CaseResult& r : result.cases) {
    out += fmt::format("  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3f}\"", xml(result.id),
                       xml(r.name), r.seconds);
    if (r.outcome == Outcome::kPassed) {
      out += "/>\n";
      continue;
    }
    const char* element = r.outcome == Outcome::kSkipped   ? "skipped"
                          : r.outcome == Outcome::kCrashed ? "error"
                                                           : "failure";
    out += fmt::format(">\n    <{} message=\"{}\">{}: {}</{}>\n  </testcase>\n", element,
                       xml(r.detail), xml(r.rule), xml(r.sentence), element);
  }
  return out + "</testsuite>\n";
}

std::string to_text(const CaseResult& r, bool colour) {
  const auto painted = [&](const char* code, std::string_view text) {
    return colour ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string(text);
  };
  const std::string mark = r.outcome == Outcome::kPassed    ? painted("32", "ok  ")
                           : r.outcome == Outcome::kSkipped ? painted("33", "skip")
                                                            : painted("31", "FAIL");
  std::string line = fmt::format("{} {:<40} {}", mark, r.name, r.sentence);
  if (r.outcome == Outcome::kSkipped) line += fmt::format("\n       skipped: {}", r.detail);
  if (r.outcome == Outcome::kFailed) line += fmt::format("\n       {} ({})", r.detail, r.rule);
  if (r.outcome == Outcome::kCrashed)
    line += fmt::format("\n       the process died: {} ({})", r.detail, r.rule);
  return line;
}

}  // namespace quanthost::conformance

// `quanthost doctor`: the checks of doctor_checks.hpp, one line each, and the verdict last.
#include <algorithm>

#include "host/cli/doctor_checks.hpp"
#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

std::string mark(Health health, const Session& session) {
  switch (health) {
    case Health::kOk:
      return session.good("OK  ");
    case Health::kWarn:
      return session.caution("WARN");
    case Health::kFail:
      return session.bad("FAIL");
  }
  return "";
}

std::string_view name_of(Health health) {
  return health == Health::kOk ? "ok" : health == Health::kWarn ? "warn" : "fail";
}

std::string verdict(std::size_t warnings, std::size_t failures) {
  const auto counted = [](std::size_t n, const char* what) {
    return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
  };
  if (failures > 0)
    return fmt::format("Something is in the way: {}, {}. Begin with the first FAIL.",
                       counted(failures, "failure"), counted(warnings, "warning"));
  if (warnings > 0)
    return fmt::format("quanthost works here, with {}.", counted(warnings, "warning"));
  return "quanthost works here.";
}

int doctor(Session& session) {
  const std::vector<HealthCheck> checks = run_health_checks(session);
  const auto count = [&](Health health) {
    return static_cast<std::size_t>(std::count_if(
        checks.begin(), checks.end(), [&](const HealthCheck& c) { return c.health == health; }));
  };
  const std::string last = verdict(count(Health::kWarn), count(Health::kFail));
  const ExitCode code = count(Health::kFail) > 0 ? ExitCode::kFailed : ExitCode::kOk;
  if (session.json()) {
    OrderedJson list = OrderedJson::array();
    for (const HealthCheck& check : checks)
      list.push_back({{"state", name_of(check.health)},
                      {"check", check.name},
                      {"found", check.found},
                      {"fix", check.fix}});
    session.print_json("doctor", {{"healthy", code == ExitCode::kOk},
                                  {"warnings", count(Health::kWarn)},
                                  {"failures", count(Health::kFail)},
                                  {"checks", list},
                                  {"verdict", last}});
    return static_cast<int>(code);
  }
  for (const HealthCheck& check : checks) {
    if (session.quiet() && check.health == Health::kOk) continue;
    session.print(
        fmt::format("{}  {:<14} {}", mark(check.health, session), check.name, check.found));
    if (!check.fix.empty()) session.print(fmt::format("      {:<14} fix: {}", "", check.fix));
  }
  session.print(last);
  return static_cast<int>(code);
}

}  // namespace

void add_doctor(Verb parent, Session& session) {
  parent
      .verb(
          "doctor",
          "Is everything in order here? Each line OK, WARN or FAIL with the fix; the verdict last",
          "  quanthost doctor\n  quanthost doctor -q          what is not OK alone\n"
          "  quanthost doctor --json")
      .group("This machine")
      .run([&session] { return doctor(session); });
}

}  // namespace quanthost::cli

// What `quanthost doctor` looks at. Each check says what was found and, unless all is well, what to
// do.
#pragma once

#include <string>
#include <vector>

#include "host/cli/session.hpp"

namespace quanthost::cli {

enum class Health { kOk, kWarn, kFail };

struct HealthCheck {
  Health health;
  std::string name;
  std::string found;
  std::string fix;  // empty when kOk
};

// In the order in which a user should read them. Opens every plugin in isolation and
// libquanthost.so in this process. A check that cannot be made is a line too, never an exception.
std::vector<HealthCheck> run_health_checks(Session& session);

// The parts, each a concern of its own.
void check_machine(std::vector<HealthCheck>& out);  // CPU, memory, limits, environment
void check_storage(std::vector<HealthCheck>& out, const SearchContext& context);
void check_settings(std::vector<HealthCheck>& out, const Session& session);
void check_plugins(std::vector<HealthCheck>& out, Session& session);
void check_methods(std::vector<HealthCheck>& out, Session& session);
void check_devices(std::vector<HealthCheck>& out);
void check_model_library(std::vector<HealthCheck>& out);

}  // namespace quanthost::cli

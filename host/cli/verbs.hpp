// Every verb that needs no model; each add_ function is defined in a file of its own name.
#pragma once

#include <functional>

#include "host/cli/session.hpp"

namespace quanthost::cli {

void add_plugins_list(Verb parent, Session& session);
void add_plugins_inspect(Verb parent, Session& session);
void add_plugins_deps(Verb parent, Session& session);
void add_plugins_paths(Verb parent, Session& session);
void add_plugins_why(Verb parent, Session& session);
void add_plugins_retry(Verb parent, Session& session);
void add_plugins_trust(Verb parent, Session& session);
void add_plugins_new(Verb parent, Session& session);
void add_validate(Verb parent, Session& session);
void add_methods(Verb parent, Session& session);
void add_devices(Verb parent, Session& session);
void add_report(Verb parent, Session& session);
void add_doctor(Verb parent, Session& session);
void add_env(Verb parent, Session& session);
void add_config(Verb parent, Session& session);
// `table` tells the program's verbs, once all were added.
void add_completion(Verb parent, Session& session, std::function<VerbEntry()> table);
void add_man(Verb parent, Session& session, std::function<VerbEntry()> table);
void add_version(Verb parent, Session& session);
int show_overview(Session& session);  // `quanthost` alone

}  // namespace quanthost::cli

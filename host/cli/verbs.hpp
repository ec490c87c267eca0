// Every verb that needs no model; each add_ function is defined in a file of its own name.
#pragma once

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
void add_version(Verb parent, Session& session);
int show_overview(Session& session);  // `quanthost` alone

// Verbs that need a model live in libquanthost.so, opened when one is asked for. `arguments` starts
// with the verb. Throws CommandError when the library is missing, and kUsage when it does not know
// the verb either.
int run_model_verb(const std::vector<std::string>& arguments,
                   const std::vector<std::string>& known_verbs);

}  // namespace quanthost::cli

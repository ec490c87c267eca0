// The quanthost command: picks the verb, runs it, and is the only place that prints an error.
#include <algorithm>
#include <cstdio>

#include "host/cli/verbs.hpp"

namespace {

using namespace quanthost::cli;

constexpr const char* kFooter =
    "Verbs that need a model (load, quantize, run, ppl, …): 'quanthost VERB --help'.\n"
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 plugin not found or rejected, 4 dependency "
    "unsatisfied, 5 ABI incompatible,\n"
    "6 untrusted, 7 model invalid, 8 device unavailable, 9 out of memory, 10 plugin crashed, 11 "
    "I/O, 130 interrupted.";

void add_verbs(CommandLine& line, Session& session) {
  session.add_global_options(line.root());
  line.root().run([&session] { return show_overview(session); });
  Verb plugins = line.root().verb("plugins", "Find, explain, resolve and trust plugins",
                                  "  quanthost plugins list");
  add_plugins_list(plugins, session);
  add_plugins_inspect(plugins, session);
  add_plugins_deps(plugins, session);
  add_plugins_paths(plugins, session);
  add_plugins_why(plugins, session);
  add_plugins_retry(plugins, session);
  add_plugins_trust(plugins, session);
  add_plugins_new(plugins, session);
  add_validate(line.root(), session);
  add_methods(line.root(), session);
  add_devices(line.root(), session);
  add_version(line.root(), session);
}

// The index of the first word that is neither an option nor an option's value; the size when there
// is none.
std::size_t find_verb(const std::vector<std::string>& arguments) {
  const std::vector<std::string> valued{"--plugin-path", "--color", "--trust", "--probe-limit"};
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (std::find(valued.begin(), valued.end(), arguments[i]) != valued.end()) {
      ++i;
    } else if (!arguments[i].starts_with('-')) {
      return i;
    }
  }
  return arguments.size();
}

int run(Session& session, std::vector<std::string> arguments) {
  CommandLine line("quanthost", "Loads quantized models through plugins.", kFooter);
  add_verbs(line, session);
  if (arguments == std::vector<std::string>{"--version"}) arguments = {"version"};
  const std::size_t at = find_verb(arguments);
  const auto known = line.verb_names();
  if (at == arguments.size() ||
      std::find(known.begin(), known.end(), arguments[at]) != known.end()) {
    return line.execute(arguments);
  }
  // The verb first, then every option in its order: the library reads the global ones too.
  std::rotate(arguments.begin(), arguments.begin() + static_cast<std::ptrdiff_t>(at),
              arguments.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  return run_model_verb(arguments, known);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  Session session;
  if (std::find(arguments.begin(), arguments.end(), "--json") != arguments.end())
    session.set_json();
  try {
    const int code = run(session, arguments);
    // A full disk or a closed pipe is a failure too.
    return std::fflush(stdout) == 0 ? code : static_cast<int>(ExitCode::kIo);
  } catch (const quanthost::Error& e) {
    return session.report(e);
  } catch (const std::exception& e) {
    return session.report(quanthost::Error(quanthost::ErrorKind::kInternal, e.what()));
  }
}

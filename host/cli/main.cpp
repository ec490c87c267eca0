// The quanthost command: picks the verb, runs it, and is the only place that prints an error.
#include <algorithm>

#include "host/cli/model_library.hpp"
#include "host/cli/model_verb_list.hpp"
#include "host/cli/verbs.hpp"

namespace {

using namespace quanthost::cli;

void add_plugin_verbs(Verb root, Session& session) {
  Verb plugins = root.verb("plugins", "Find, explain, resolve and trust plugins",
                           "  quanthost plugins list\n  quanthost plugins why org.quanthost.bnb4");
  plugins.group("Plugins");
  add_plugins_list(plugins, session);
  add_plugins_inspect(plugins, session);
  add_plugins_deps(plugins, session);
  add_plugins_paths(plugins, session);
  add_plugins_why(plugins, session);
  add_plugins_retry(plugins, session);
  add_plugins_trust(plugins, session);
  add_plugins_new(plugins, session);
  add_methods(root, session);
  add_validate(root, session);
}

void add_verbs(CommandLine& line, Session& session) {
  Verb root = line.root();
  session.add_global_options(root);
  root.run([&session] { return show_overview(session); });
  add_plugin_verbs(root, session);
  // Listed here, told and run by libquanthost.so.
  for (const ModelVerb& verb : model_verb_list())
    root.verb(verb.name, verb.summary, "").group("Models");
  add_report(root, session);
  add_doctor(root, session);
  add_env(root, session);
  add_devices(root, session);
  add_config(root, session);
  add_completion(root, session, [&line] { return line.table(); });
  add_man(root, session, [&line] { return line.table(); });
  add_version(root, session);
}

// The index of the first word that is neither an option nor an option's value; the size when there
// is none.
std::size_t find_verb(const VerbEntry& table, const std::vector<std::string>& arguments) {
  const auto takes_value = [&](const std::string& word) {
    return std::any_of(table.options.begin(), table.options.end(), [&](const OptionEntry& option) {
      return option.takes_value &&
             std::find(option.names.begin(), option.names.end(), word) != option.names.end();
    });
  };
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (takes_value(arguments[i])) {
      ++i;
    } else if (!arguments[i].starts_with('-')) {
      return i;
    }
  }
  return arguments.size();
}

int run(Session& session, std::vector<std::string> arguments) {
  CommandLine line("quanthost", "Loads quantized models through plugins.",
                   exit_code_text() + "\nMore: 'quanthost VERB --help', 'man quanthost'.");
  add_verbs(line, session);
  line.after_parse([&session](ParsedOptions& parsed) { session.apply_settings(parsed); });
  if (arguments == std::vector<std::string>{"--version"}) arguments = {"version"};
  std::size_t at = find_verb(line.table(), arguments);
  if (at < arguments.size() && arguments[at] == "help") {  // "help load" is "load --help"
    arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(at));
    arguments.emplace_back("--help");
    at = find_verb(line.table(), arguments);
  }
  if (at == arguments.size() || !find_model_verb(arguments[at])) return line.execute(arguments);
  // The verb first, then every option in its order: the library reads the global ones too.
  std::rotate(arguments.begin(), arguments.begin() + static_cast<std::ptrdiff_t>(at),
              arguments.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  return run_model_verb(arguments);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  Session session;
  if (std::find(arguments.begin(), arguments.end(), "--json") != arguments.end())
    session.set_json();
  return session.run_reporting([&] { return run(session, arguments); });
}

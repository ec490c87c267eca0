#include <memory>

#include "host/cli/plugin_view.hpp"
#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

int why(Session& session, const std::string& subject) {
  PluginHost& host = session.plugins();
  const PluginRecord& plugin = host.find_plugin(subject);
  const auto* held = host.quarantine_entry(plugin);
  if (session.json()) {
    OrderedJson content{{"plugin", to_json(plugin)}};
    if (held) {
      content["quarantine"] = {{"reason", held->reason},
                               {"stderr", held->output_tail},
                               {"until", Quarantine::Clock::to_time_t(held->until)}};
    }
    session.print_json("plugins.why", content);
    return static_cast<int>(exit_code_for(plugin));
  }
  if (plugin.usable()) {
    session.print(fmt::format(
        "{} can be used{}", plugin.label(),
        plugin.probed ? "; it was opened in isolation and behaved" : "; it was not opened yet"));
    return 0;
  }
  session.print(fmt::format("{} ({}) is {}: {}", plugin.label(), plugin.file.string(),
                            name_of(plugin.state), plugin.reason));
  if (!plugin.hint.empty()) session.print("  hint: " + plugin.hint);
  if (held && !held->output_tail.empty())
    session.print("  it wrote to stderr:\n" + held->output_tail);
  return static_cast<int>(exit_code_for(plugin));
}

}  // namespace

void add_plugins_why(Verb parent, Session& session) {
  auto subject = std::make_shared<std::string>();
  parent
      .verb("why", "Why a plugin can or cannot be used; the exit code says it too",
            "  quanthost plugins why org.example.mymethod\n"
            "  quanthost plugins why ./mymethod.so --json")
      .argument("plugin", *subject, "Id of a plugin, or a file")
      .run([&session, subject] { return why(session, *subject); });
}

}  // namespace quanthost::cli

#include <memory>

#include "host/cli/plugin_view.hpp"
#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

int retry(Session& session, const std::string& subject) {
  const PluginRecord& plugin = session.plugins().retry(subject);
  if (session.json()) {
    session.print_json("plugins.retry", {{"plugin", to_json(plugin)}});
    return static_cast<int>(exit_code_for(plugin));
  }
  if (!plugin.usable()) refuse(plugin);
  session.print(
      fmt::format("{} was opened in isolation and behaved; it can be used", plugin.label()));
  return 0;
}

}  // namespace

void add_plugins_retry(Verb parent, Session& session) {
  auto subject = std::make_shared<std::string>();
  parent
      .verb("retry", "End a plugin's quarantine and try it again in isolation",
            "  quanthost plugins retry org.example.mymethod")
      .argument("plugin", *subject, "Id of a plugin, or a file")
      .run([&session, subject] { return retry(session, *subject); });
}

}  // namespace quanthost::cli

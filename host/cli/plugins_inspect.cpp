#include <memory>

#include "host/cli/plugin_view.hpp"
#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

void print_plugin(const PluginRecord& plugin, const Session& session) {
  const std::string state(name_of(plugin.state));
  std::vector<std::vector<std::string>> rows{
      {"id", plugin.label()},
      {"state", plugin.usable() ? session.good(state) : session.bad(state)}};
  if (!plugin.reason.empty()) rows.push_back({"because", plugin.reason});
  if (!plugin.hint.empty()) rows.push_back({"hint", plugin.hint});
  rows.push_back({"file", plugin.file.string()});
  if (plugin.real_path != plugin.file) rows.push_back({"is", plugin.real_path.string()});
  rows.push_back({"found in", plugin.origin});
  if (!plugin.content.manifest) return session.print(format_table(rows));
  const Manifest& manifest = *plugin.content.manifest;
  rows.push_back({"name", manifest.name});
  rows.push_back({"version", manifest.version.text()});
  rows.push_back({"abi", fmt::format("{}.{}", manifest.abi_major, manifest.abi_minor)});
  for (const auto& [label, text] :
       {std::pair("license", manifest.license), std::pair("publisher", manifest.publisher),
        std::pair("about", manifest.description), std::pair("trust", plugin.trust.reason)}) {
    if (!text.empty()) rows.push_back({label, text});
  }
  session.print(format_table(rows));
  for (const PackageSpec& package : manifest.packages) {
    session.print(fmt::format(
        "\npackage {} {} for {}{}", package.name, package.version.text(), package.device,
        package.interface_id.empty() ? "" : ", interface " + package.interface_id));
  }
  for (const Requirement& requirement : manifest.requirements)
    session.print(fmt::format("requires {}", requirement.text()));
  for (const QuantizerSpec& spec : manifest.quantizers) session.print("\n" + method_text(spec));
}

int inspect(Session& session, const std::string& subject) {
  const PluginRecord& plugin = session.plugins().find_plugin(subject);
  if (session.json()) {
    OrderedJson content{{"plugin", to_json(plugin)}};
    if (plugin.content.manifest) content["manifest"] = plugin.content.manifest->source;
    session.print_json("plugins.inspect", content);
  } else {
    print_plugin(plugin, session);
  }
  return static_cast<int>(plugin.content.manifest ? ExitCode::kOk : ExitCode::kPluginNotFound);
}

}  // namespace

void add_plugins_inspect(Verb parent, Session& session) {
  auto subject = std::make_shared<std::string>();
  parent
      .verb("inspect",
            "Everything one plugin says of itself, read from its file without running it",
            "  quanthost plugins inspect org.quanthost.bnb4\n"
            "  quanthost plugins inspect ./build/mymethod.so --json")
      .argument("plugin", *subject, "Id of a plugin, or a file")
      .run([&session, subject] { return inspect(session, *subject); });
}

}  // namespace quanthost::cli

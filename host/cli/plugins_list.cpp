#include <memory>

#include "host/cli/plugin_view.hpp"
#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

struct ListOptions {
  bool probe = false, all = false;
};

std::vector<std::string> row_of(const PluginRecord& plugin, const Session& session) {
  const std::string state(name_of(plugin.state));
  const std::string marked = plugin.usable() ? session.good(state) : session.bad(state);
  if (!plugin.content.manifest)
    return {marked, plugin.file.filename().string(), "-", "-", plugin.reason};
  const Manifest& manifest = *plugin.content.manifest;
  return {marked, manifest.id, manifest.version.text(),
          fmt::format("{}.{}", manifest.abi_major, manifest.abi_minor),
          plugin.usable() ? provided_text(manifest) : plugin.reason};
}

// No plugin at all is an answer too: where was looked, and what to do.
void print_nothing_found(const Discovery& found, const Session& session) {
  session.print("No plugins were found. These directories were searched:");
  for (const DirectoryReport& report : found.directories) {
    session.print(fmt::format("  {}  {}", report.directory.path.string(),
                              session.dim(report.exists ? "(no *.so in it)" : "(does not exist)")));
  }
  session.print("Copy a plugin's .so into one of them, or name another with --plugin-path.");
}

void print_table(const Discovery& found, const ListOptions& options, const Session& session) {
  std::vector<std::vector<std::string>> rows{
      {"STATE", "ID", "VERSION", "ABI", "PROVIDES, OR WHY NOT"}};
  std::size_t hidden = 0;
  for (const PluginRecord& plugin : found.plugins) {
    const bool minor = !plugin.content.manifest || plugin.state == PluginState::kShadowed;
    if (minor && !options.all) {
      ++hidden;
    } else {
      rows.push_back(row_of(plugin, session));
    }
  }
  if (rows.size() > 1) session.print(format_table(rows));
  if (hidden > 0) {
    session.print(fmt::format("{} file{} left out; --all shows {} and why", hidden,
                              hidden == 1 ? " is" : "s are", hidden == 1 ? "it" : "them"));
  }
}

int list(Session& session, const ListOptions& options) {
  if (options.probe) session.plugins().probe_all();
  const Discovery& found = session.plugins().discovery();
  if (session.json()) {
    OrderedJson plugins = OrderedJson::array();
    for (const PluginRecord& plugin : found.plugins) plugins.push_back(to_json(plugin));
    session.print_json("plugins.list", {{"plugins", plugins}});
  } else if (found.plugins.empty()) {
    print_nothing_found(found, session);
  } else {
    print_table(found, options, session);
  }
  return 0;
}

}  // namespace

void add_plugins_list(Verb parent, Session& session) {
  auto options = std::make_shared<ListOptions>();
  parent
      .verb(
          "list", "Plugins in the search path: what each offers, and if it cannot be used, why",
          "  quanthost plugins list                 from the files alone; runs no plugin code\n"
          "  quanthost plugins list --probe         opens each one in a process of its own first\n"
          "  quanthost plugins list --all --json    rejected files too, for programs")
      .flag("--probe", options->probe,
            "Open each plugin in isolation; those that fail are quarantined")
      .flag("--all", options->all, "Also files that are no plugins, and duplicates")
      .run([&session, options] { return list(session, *options); });
}

}  // namespace quanthost::cli

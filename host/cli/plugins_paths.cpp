#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

std::string verdict(const DirectoryReport& report) {
  if (!report.exists) return "does not exist";
  if (!report.fault.empty()) return "not trusted: " + report.fault;
  return fmt::format("{} file{}", report.files, report.files == 1 ? "" : "s");
}

int paths(Session& session) {
  const Discovery& found = session.plugins().discovery();
  const SearchContext& context = session.plugins().context();
  if (session.json()) {
    OrderedJson list = OrderedJson::array();
    for (const DirectoryReport& report : found.directories) {
      list.push_back({{"path", report.directory.path.string()},
                      {"origin", session.origin_of(report.directory)},
                      {"exists", report.exists},
                      {"files", report.files},
                      {"fault", report.fault}});
    }
    session.print_json("plugins.paths", {{"directories", list},
                                         {"cache", user_cache_directory(context).string()},
                                         {"config", user_config_directory(context).string()},
                                         {"environment_ignored", context.privileged}});
    return 0;
  }
  std::vector<std::vector<std::string>> rows;
  for (const DirectoryReport& report : found.directories) {
    const std::string text = verdict(report);
    rows.push_back({report.directory.path.string(), session.origin_of(report.directory),
                    report.fault.empty() ? session.dim(text) : session.bad(text)});
  }
  session.print(format_table(rows));
  session.print(fmt::format("cache: {}", user_cache_directory(context).string()));
  if (context.privileged)
    session.print("The environment is ignored: this process runs with raised privileges.");
  return 0;
}

}  // namespace

void add_plugins_paths(Verb parent, Session& session) {
  parent
      .verb("paths", "The directories that are searched, in order, and whether they are trusted",
            "  quanthost plugins paths\n"
            "  QUANTHOST_PLUGIN_PATH=$HOME/plugins quanthost plugins paths")
      .run([&session] { return paths(session); });
}

}  // namespace quanthost::cli

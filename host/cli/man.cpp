// `quanthost man`: the manual, written from the table of verbs.
#include <algorithm>
#include <memory>

#include "host/base/file.hpp"
#include "host/cli/full_table.hpp"
#include "host/cli/man_page.hpp"
#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

struct ManOptions {
  std::vector<std::string> verb;
  std::string directory;
};

std::string page_name(std::string path) {
  std::replace(path.begin(), path.end(), ' ', '-');
  return path + ".1";
}

int write_all(Session& session, const VerbEntry& table, const std::filesystem::path& directory) {
  std::filesystem::create_directories(directory);
  OrderedJson files = OrderedJson::array();
  for (const auto& [path, verb] : walk(table)) {
    const std::filesystem::path file = directory / page_name(path);
    write_text_file(file, man_page(path, *verb, table));
    files.push_back(file.string());
  }
  if (session.json()) {
    session.print_json("man", {{"files", files}});
  } else if (!session.quiet()) {
    session.print(fmt::format("{} pages in {}", files.size(), directory.string()));
  }
  return 0;
}

int man(Session& session, const ManOptions& options, const VerbEntry& program) {
  const VerbEntry table = full_table(program);
  if (!options.directory.empty()) return write_all(session, table, options.directory);
  std::string wanted = "quanthost";
  for (const std::string& word : options.verb) wanted += " " + word;
  for (const auto& [path, verb] : walk(table)) {
    if (path != wanted) continue;
    const std::string page = man_page(path, *verb, table);
    if (session.json()) {
      session.print_json("man", {{"page", page_name(path)}, {"text", page}});
    } else {
      session.print(page.substr(0, page.size() - 1));
    }
    return 0;
  }
  throw CommandError(ExitCode::kUsage, ErrorKind::kValue,
                     fmt::format("there is no '{}' to tell of", wanted), "see 'quanthost --help'");
}

}  // namespace

void add_man(Verb parent, Session& session, std::function<VerbEntry()> table) {
  auto options = std::make_shared<ManOptions>();
  parent
      .verb("man", "The manual page of a verb, in roff",
            "  quanthost man | man -l -\n  quanthost man plugins list | man -l -\n"
            "  quanthost man --all ./man1       every page into a folder")
      .group("This machine")
      .optional_arguments("verb", options->verb, "The verb, e.g. plugins list; none: the command")
      .option("--all", options->directory, "Write every page into this folder")
      .run([&session, options, table = std::move(table)] {
        return man(session, *options, table());
      });
}

}  // namespace quanthost::cli

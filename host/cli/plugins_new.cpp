#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

namespace fs = std::filesystem;

struct NewPluginOptions {
  std::string name, id, directory;
};

// Beside the installed program, or in the source tree that holds its build folder.
fs::path template_folder(const SearchContext& context) {
  std::error_code ignored;
  for (const fs::path& folder :
       {context.library_directory / "../share/quanthost/template", fs::path(QUANTHOST_TEMPLATE_DIR),
        context.library_directory / "../../sdk/template"})
    if (fs::exists(folder / "plugin.yaml", ignored)) return folder;
  throw Error(ErrorKind::kOs, "the plugin template was not found",
              "install quanthost's component `sdk` under the same prefix as this program");
}

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

void check_name(const std::string& name) {
  const bool good = !name.empty() && std::islower(static_cast<unsigned char>(name[0])) &&
                    std::all_of(name.begin(), name.end(), [](unsigned char c) {
                      return std::islower(c) || std::isdigit(c) || c == '_';
                    });
  if (!good)
    throw Error(ErrorKind::kValue, fmt::format("'{}' cannot be the name of a plugin project", name),
                "use lower-case letters, digits and _, starting with a letter: it names a C++ "
                "namespace too");
}

// What to type next. The SDK is found where CMake looks by itself, under this program's prefix, or
// in a build of quanthost, which has to be installed first.
std::vector<std::string> next_steps(const fs::path& from, const SearchContext& context,
                                    const std::string& target, const std::string& name) {
  std::vector<std::string> out;
  std::string where;
  const fs::path library = context.library_directory;
  std::error_code ignored;
  if (fs::equivalent(from, library / "../share/quanthost/template", ignored)) {
    const fs::path prefix = fs::weakly_canonical(library / "..", ignored);
    if (prefix != "/usr" && prefix != "/usr/local")
      where = fmt::format(" -DCMAKE_PREFIX_PATH={}", prefix.string());
  } else if (fs::exists(library / "../CMakeCache.txt", ignored)) {
    out.push_back(fmt::format("cmake --install {} --component sdk --prefix $PWD/quanthost-sdk",
                              fs::weakly_canonical(library / "..", ignored).string()));
    where = " -DCMAKE_PREFIX_PATH=$PWD/quanthost-sdk";
  }
  out.push_back(
      fmt::format("cmake -S {0} -B {0}/build{1} && cmake --build {0}/build", target, where));
  out.push_back(fmt::format("quanthost validate {}/build/{}.so", target, name));
  out.push_back(fmt::format("quanthost plugins list --plugin-path {}/build", target));
  return out;
}

int create(Session& session, const NewPluginOptions& options) {
  check_name(options.name);
  const std::string id = options.id.empty() ? "org.example." + options.name : options.id;
  if (!is_plugin_id(id)) fail(ErrorKind::kValue, "'{}' is no plugin id", id);
  const fs::path target =
      options.directory.empty() ? fs::path(options.name) : fs::path(options.directory);
  if (fs::exists(target))
    throw Error(ErrorKind::kOs, fmt::format("{} exists already", target.string()),
                "choose another --directory, or move it away");
  std::string class_name = options.name;
  class_name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(class_name[0])));

  const fs::path from = template_folder(session.plugins().context());
  const fs::path unfinished = fs::path(target.string() + ".unfinished");
  fs::remove_all(unfinished);
  fs::create_directories(unfinished);
  OrderedJson files = OrderedJson::array();
  std::vector<fs::path> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(from))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  for (const fs::path& name : names) {
    std::ifstream in(from / name, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(in), {}};
    text = replace_all(
        replace_all(replace_all(std::move(text), "@name@", options.name), "@Name@", class_name),
        "@id@", id);
    std::ofstream out(unfinished / name, std::ios::binary);
    if (!out.write(text.data(), static_cast<std::streamsize>(text.size())).flush())
      fail(ErrorKind::kOs, "{}: cannot be written", (target / name).string());
    files.push_back((target / name).string());
  }
  fs::rename(unfinished, target);

  if (session.json()) {
    session.print_json(
        "plugins.new",
        {{"id", id}, {"directory", fs::absolute(target).string()}, {"files", files}});
    return 0;
  }
  session.print(
      fmt::format("{} holds a plugin that builds and validates as it is. Next:", target.string()));
  for (const std::string& step :
       next_steps(from, session.plugins().context(), target.string(), options.name))
    session.print("  " + step);
  return 0;
}

}  // namespace

void add_plugins_new(Verb parent, Session& session) {
  auto options = std::make_shared<NewPluginOptions>();
  parent
      .verb("new",
            "Start a plugin of your own: a project that builds against the installed SDK and "
            "validates as it is",
            "  quanthost plugins new mymethod\n  quanthost plugins new mymethod --id "
            "com.acme.mymethod --directory ~/src/mymethod")
      .argument("name", options->name,
                "Name of the method and of the library: lower-case letters, digits, _")
      .option("--id", options->id, "Id of the plugin (default: org.example.NAME)")
      .option("--directory", options->directory, "Where to put it (default: ./NAME)")
      .run([&session, options] { return create(session, *options); });
}

}  // namespace quanthost::cli

#include "host/plugins/search_path.hpp"

#include <dlfcn.h>
#include <sys/auxv.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace quanthost {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> split_paths(std::string_view text) {
  std::vector<fs::path> out;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(':', begin), text.size());
    if (end > begin) out.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

fs::path xdg_directory(const SearchContext& context, const char* variable, const char* below_home) {
  if (context.privileged) return {};
  if (auto value = context.environment(variable); value && fs::path(*value).is_absolute()) {
    return fs::path(*value) / "quanthost";
  }
  if (auto home = context.environment("HOME"); home && fs::path(*home).is_absolute()) {
    return fs::path(*home) / below_home / "quanthost";
  }
  return {};
}

class PathBuilder {
 public:
  void add(const fs::path& path, const char* origin) {
    if (!path.is_absolute()) return;
    fs::path normal = path.lexically_normal();
    if (!normal.has_filename()) normal = normal.parent_path();  // "/a/b/" is "/a/b"
    const bool known = std::any_of(out_.begin(), out_.end(),
                                   [&](const SearchDirectory& d) { return d.path == normal; });
    if (!known) out_.push_back({std::move(normal), origin});
  }
  std::vector<SearchDirectory> take() { return std::move(out_); }

 private:
  std::vector<SearchDirectory> out_;
};

void anchor_of_this_file() {}

}  // namespace

SearchContext SearchContext::of_this_process() {
  SearchContext context;
  context.environment = [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    if (!value || !*value) return std::nullopt;
    return std::string(value);
  };
  context.privileged = ::getauxval(AT_SECURE) != 0;
  Dl_info info{};
  if (::dladdr(reinterpret_cast<void*>(&anchor_of_this_file), &info) != 0 && info.dli_fname) {
    // For the main program dli_fname is argv[0], which may be relative or a name looked up on PATH.
    std::error_code error;
    const fs::path executable = fs::read_symlink("/proc/self/exe", error);
    const fs::path named = fs::canonical(info.dli_fname, error);
    const bool library =
        !error && named != executable && named.filename().string().find(".so") != std::string::npos;
    context.library_directory = (library ? named : executable).parent_path();
  }
  return context;
}

std::vector<SearchDirectory> plugin_search_path(const SearchContext& context) {
  PathBuilder path;
  for (const fs::path& entry : context.explicit_paths)
    path.add(fs::absolute(entry), "--plugin-path");
  std::optional<std::string> system;
  if (!context.privileged) {
    if (auto value = context.environment("QUANTHOST_PLUGIN_PATH")) {
      for (const fs::path& entry : split_paths(*value)) path.add(entry, "QUANTHOST_PLUGIN_PATH");
    }
    if (auto data = xdg_directory(context, "XDG_DATA_HOME", ".local/share"); !data.empty()) {
      path.add(data / "plugins", "user data");
    }
    system = context.environment("QUANTHOST_PLUGIN_SYSTEM_PATH");
  }
  if (system) {
    for (const fs::path& entry : split_paths(*system))
      path.add(entry, "QUANTHOST_PLUGIN_SYSTEM_PATH");
    return path.take();
  }
  path.add("/usr/local/lib/quanthost/plugins", "system");
  path.add(QUANTHOST_SYSTEM_PLUGIN_DIR, "system");
  if (!context.library_directory.empty()) {
    const fs::path& here = context.library_directory;
    // build/bin and build/lib have build/plugins beside them; an installed prefix has
    // lib/quanthost/plugins.
    path.add(here.parent_path() / "plugins", "next to the library");
    path.add(here / "quanthost" / "plugins", "next to the library");
    path.add(here.parent_path() / "lib" / "quanthost" / "plugins", "next to the library");
    // Where libraries lie in a folder of their architecture: bin and lib/x86_64-linux-gnu.
    path.add(here.parent_path() / QUANTHOST_LIBDIR / "quanthost" / "plugins",
             "next to the library");
  }
  return path.take();
}

fs::path user_cache_directory(const SearchContext& context) {
  return xdg_directory(context, "XDG_CACHE_HOME", ".cache");
}

fs::path user_config_directory(const SearchContext& context) {
  return xdg_directory(context, "XDG_CONFIG_HOME", ".config");
}

}  // namespace quanthost

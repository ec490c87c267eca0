#include "host/plugins/search_path.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace quanthost {
namespace {

SearchContext context_with(std::map<std::string, std::string> variables) {
  SearchContext context;
  context.environment = [variables](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  context.library_directory = "/opt/q/bin";
  return context;
}

std::vector<std::string> paths(const SearchContext& context) {
  std::vector<std::string> out;
  for (const SearchDirectory& d : plugin_search_path(context)) out.push_back(d.path.string());
  return out;
}

std::size_t place(const std::vector<std::string>& list, const std::string& path) {
  return static_cast<std::size_t>(std::find(list.begin(), list.end(), path) - list.begin());
}

TEST(SearchPath, GoesFromTheExplicitToTheBuiltIn) {
  SearchContext context =
      context_with({{"QUANTHOST_PLUGIN_PATH", "/env1:/env2"}, {"XDG_DATA_HOME", "/data"}});
  context.explicit_paths = {"/explicit"};
  const auto list = paths(context);
  EXPECT_EQ(place(list, "/explicit"), 0u);
  EXPECT_EQ(place(list, "/env1"), 1u);
  EXPECT_EQ(place(list, "/env2"), 2u);
  EXPECT_EQ(place(list, "/data/quanthost/plugins"), 3u);
  EXPECT_LT(place(list, "/usr/local/lib/quanthost/plugins"), place(list, "/opt/q/plugins"));
  EXPECT_LT(place(list, "/opt/q/plugins"), list.size());
}

TEST(SearchPath, NeverHoldsTheCurrentDirectory) {
  const auto list = paths(
      context_with({{"QUANTHOST_PLUGIN_PATH", ":.:plugins::./x"}, {"XDG_DATA_HOME", "data"}}));
  for (const std::string& path : list) EXPECT_EQ(path.front(), '/') << path;
  EXPECT_TRUE(std::none_of(list.begin(), list.end(),
                           [](const std::string& p) { return p.find("data") != p.npos; }));
}

TEST(SearchPath, IgnoresTheEnvironmentOfAPrivilegedProcess) {
  SearchContext context = context_with({{"QUANTHOST_PLUGIN_PATH", "/env"},
                                        {"HOME", "/home/x"},
                                        {"QUANTHOST_PLUGIN_SYSTEM_PATH", "/sys"}});
  context.privileged = true;
  const auto list = paths(context);
  EXPECT_EQ(list.front(), "/usr/local/lib/quanthost/plugins");
  EXPECT_EQ(place(list, "/env"), list.size());
  EXPECT_EQ(place(list, "/sys"), list.size());
  EXPECT_TRUE(user_cache_directory(context).empty());
}

TEST(SearchPath, NamesEachDirectoryOnce) {
  const auto list = paths(context_with(
      {{"QUANTHOST_PLUGIN_PATH", "/a:/b/../a:/a/"}, {"QUANTHOST_PLUGIN_SYSTEM_PATH", "/a:/c"}}));
  EXPECT_EQ(list, (std::vector<std::string>{"/a", "/c"}));
}

}  // namespace
}  // namespace quanthost

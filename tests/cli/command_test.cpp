#include "tests/cli/command.hpp"

#include <gmock/gmock.h>

#include "tests/folders.hpp"

namespace quanthost::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

void drop(const Command& command) {
  fs::copy_file(build_folder() + "/tests/cli_plugins/quantizer.so",
                command.plugins() / "quantizer.so");
}

TEST(PluginsList, ShowsADroppedPluginAtOnce) {
  const Command command;
  EXPECT_THAT(command.run("plugins list").out,
              AllOf(HasSubstr("No plugins were found"), HasSubstr(command.plugins().string())));
  drop(command);
  const Outcome outcome = command.run("plugins list --json");
  ASSERT_EQ(outcome.code, 0);
  const Json document = outcome.json();
  EXPECT_EQ(document.at("schema"), "quanthost.plugins.list");
  EXPECT_EQ(document.at("schema_version"), 1);
  const Json plugin = document.at("plugins").at(0);
  EXPECT_EQ(plugin.at("id"), "test.quantizer");
  EXPECT_EQ(plugin.at("version"), "1.0.0");
  EXPECT_EQ(plugin.at("abi"), command.run("version --json").json().at("abi"));
  EXPECT_EQ(plugin.at("state"), "ok");
  EXPECT_EQ(
      plugin.at("provides").at("quantizers").at(0).at("required_packages").at(0).at("version"),
      ">=0.39.0");
  EXPECT_EQ(plugin.at("requires").size(), 0u);
  fs::remove(command.plugins() / "quantizer.so");
  EXPECT_EQ(command.run("plugins list --json").json().at("plugins").size(), 0u);
}

TEST(PluginsInspect, ReadsAFileOutsideOfTheSearchPath) {
  const Command command;
  const Outcome outcome =
      command.run("plugins inspect " + build_folder() + "/tests/cli_plugins/quantizer.so");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("test.quantizer"), HasSubstr("requires kernels>=0.39.0")));
}

TEST(Command, AloneShowsOneScreenOfWhatItCanDo) {
  const Command command;
  drop(command);
  const Outcome outcome = command.run("");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("methods: quantizer"), HasSubstr("quanthost plugins list")));
  EXPECT_LT(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 24);
}

TEST(Command, SuggestsWhatWasMeant) {
  const Command command;
  drop(command);
  const auto hint = [&](const std::string& arguments, int code, const char* text) {
    const Outcome outcome = command.run(arguments);
    EXPECT_EQ(outcome.code, code) << arguments;
    EXPECT_THAT(outcome.err, HasSubstr(text)) << arguments;
  };
  hint("plugns list", 2, "did you mean 'plugins'?");
  hint("plugins lst", 2, "did you mean 'list'?");
  hint("plugins list --jsn", 2, "did you mean '--json'?");
  hint("quantise", 2, "did you mean 'quantize'?");
  hint("plugins why test.quantiser", 3, "did you mean 'test.quantizer'?");
}

TEST(Command, GivesErrorsAsJsonOnRequest) {
  const Command command;
  const Outcome outcome = command.run("plugins why nobody --json");
  EXPECT_EQ(outcome.code, 3);
  const Json error = outcome.json().at("error");
  EXPECT_EQ(error.at("code"), 3);
  EXPECT_EQ(error.at("kind"), "KeyError");
  EXPECT_THAT(error.at("message").get<std::string>(), HasSubstr("'nobody'"));
  EXPECT_TRUE(error.contains("hint"));
  EXPECT_TRUE(error.contains("where"));
  EXPECT_EQ(command.run("plugins nonsense --json").json().at("error").at("code"), 2);
}

TEST(Command, ColoursOnlyWhenAsked) {
  Command command;
  drop(command);
  EXPECT_THAT(command.run("plugins list").out, Not(HasSubstr("\x1b[")));
  EXPECT_THAT(command.run("plugins list --color always").out, HasSubstr("\x1b["));
  EXPECT_THAT(command.run("plugins list --color always --json").out, Not(HasSubstr("\x1b[")));
}

TEST(Command, HasHelpWithExamplesForEveryVerb) {
  const Command command;
  for (const char* verb :
       {"plugins list", "plugins inspect", "plugins deps", "plugins paths", "plugins why",
        "plugins retry", "plugins trust", "methods", "devices", "validate", "version"}) {
    const Outcome outcome = command.run(std::string(verb) + " --help");
    EXPECT_EQ(outcome.code, 0) << verb;
    EXPECT_THAT(outcome.out, HasSubstr("Examples:\n  quanthost ")) << verb;
  }
  EXPECT_THAT(command.run("--help").out, HasSubstr("Exit codes:\n    0  ok"));
}

TEST(PluginsTrust, KeepsDecisionsBetweenCalls) {
  const Command command;
  drop(command);
  const std::string file = (command.plugins() / "quantizer.so").string();
  EXPECT_EQ(command.run("plugins trust policy require").code, 0);
  EXPECT_EQ(command.run("plugins why test.quantizer").code, 6);
  EXPECT_EQ(command.run("plugins trust allow " + file).code, 0);
  EXPECT_EQ(command.run("plugins why test.quantizer").code, 0);
  EXPECT_EQ(command.run("plugins trust block test.quantizer").code, 0);
  EXPECT_EQ(command.run("plugins why test.quantizer").code, 6);
  EXPECT_EQ(command.run("plugins trust forget test.quantizer").code, 0);
  EXPECT_EQ(command.run("plugins trust policy sometimes").code, 1);
  EXPECT_EQ(command.run("plugins trust show --json").json().at("policy"), "require");
}

TEST(Cache, ThatIsDamagedIsBuiltAnew) {
  const Command command;
  drop(command);
  const std::string before = command.run("plugins list --json").out;
  const fs::path cache = command.home() / ".cache/quanthost/plugins.json";
  ASSERT_TRUE(fs::exists(cache));
  for (const char* content : {"", "{", "{\"schema_version\":1}", "[1,2,3]", "\xff\xfe"}) {
    std::ofstream(cache, std::ios::binary | std::ios::trunc) << content;
    EXPECT_EQ(command.run("plugins list --json").out, before) << content;
  }
}

}  // namespace
}  // namespace quanthost::test

// Dependencies as the command tells them: what was chosen, and when nothing can be, why each
// candidate lost.
#include <gmock/gmock.h>

#include "tests/cli/command.hpp"
#include "tests/folders.hpp"

namespace quanthost::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

void put(const Command& command, const std::string& name) {
  fs::copy_file(build_folder() + "/tests/cli_plugins/" + name + ".so",
                command.plugins() / (name + ".so"));
}

TEST(Deps, NamesTheProviderOfEachPackage) {
  const Command command;
  for (const char* name : {"quantizer", "kernels_old", "kernels_new"}) put(command, name);
  const Outcome outcome = command.run("plugins deps test.quantizer");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("kernels 0.50.2 (cpu) from test.kernels_new"),
                                 HasSubstr("accelerate 1.15.0 (any) from the host itself")));
  const Json json = command.run("plugins deps --json").json();
  EXPECT_EQ(json.at("schema"), "quanthost.plugins.deps");
  EXPECT_EQ(json.at("methods").at(0).at("load_order"),
            (Json{"test.kernels_new", "test.quantizer"}));
}

TEST(Deps, ProvesThatARequirementCannotBeMet) {
  const Command command;
  for (const char* name : {"quantizer", "kernels_old", "kernels_hip"}) put(command, name);
  const Outcome outcome = command.run("plugins deps test.quantizer --why kernels");
  EXPECT_EQ(outcome.code, 4);
  EXPECT_THAT(
      outcome.out,
      AllOf(HasSubstr("requires kernels>=0.39.0"),
            HasSubstr("test.kernels_old 0.38.1: version 0.38.1 does not satisfy >=0.39.0"),
            HasSubstr("test.kernels_hip 0.60.0: is unavailable: needs the CPU feature quantum")));
}

TEST(Deps, SaysWhenNobodyProvidesAPackage) {
  const Command command;
  put(command, "quantizer");
  const Outcome outcome = command.run("plugins deps");
  EXPECT_EQ(outcome.code, 4);
  EXPECT_THAT(outcome.out, HasSubstr("no plugin in the search path provides it"));
}

TEST(Deps, HoldsTheHostsOwnPackagesToTheirVersion) {
  const Command command;
  put(command, "wants_host_99");
  const Outcome outcome = command.run("plugins deps --why accelerate --json");
  EXPECT_EQ(outcome.code, 4);
  EXPECT_THAT(outcome.out, HasSubstr("version 1.15.0 does not satisfy >99"));
}

TEST(Deps, ShowsACycleOfThree) {
  const Command command;
  for (const char* name : {"cycle_a", "cycle_b", "cycle_c"}) put(command, name);
  const Outcome outcome = command.run("plugins deps");
  EXPECT_EQ(outcome.code, 4);
  EXPECT_THAT(
      outcome.out,
      HasSubstr(
          "would close a cycle: test.cycle_c -> test.cycle_a -> test.cycle_b -> test.cycle_c"));
}

TEST(Deps, DrawsAGraph) {
  const Command command;
  for (const char* name : {"quantizer", "kernels_new"}) put(command, name);
  EXPECT_THAT(command.run("plugins deps --dot").out,
              AllOf(HasSubstr("digraph"), HasSubstr("-> \"test.kernels_new\"")));
}

TEST(Duplicates, AreResolvedByVersionAndReported) {
  const Command command;
  put(command, "kernels_new");
  fs::copy_file(command.plugins() / "kernels_new.so", command.plugins() / "another.so");
  const Json plugins = command.run("plugins list --json").json().at("plugins");
  ASSERT_EQ(plugins.size(), 2u);
  EXPECT_EQ(plugins.at(0).at("state"), "ok");
  EXPECT_EQ(plugins.at(1).at("state"), "shadowed");
  EXPECT_THAT(plugins.at(1).at("reason").get<std::string>(), HasSubstr("provides the same id"));
}

}  // namespace
}  // namespace quanthost::test

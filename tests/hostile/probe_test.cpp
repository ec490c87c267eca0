// Plugins that misbehave when they are opened: the host survives, says what happened, and refuses
// to use them.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>

#include "host/base/error.hpp"
#include "host/plugins/plugin_host.hpp"
#include "tests/hostile/hostile_plugins.hpp"

namespace quanthost::test {
namespace {

using ::testing::HasSubstr;

struct Misbehaviour {
  const char* name;
  const char* reason;
};

class Probe : public ::testing::TestWithParam<Misbehaviour> {};

TEST_P(Probe, QuarantinesWithTheReasonAndRefusesUse) {
  const auto [name, reason] = GetParam();
  const Command command;
  put(command, name);
  const std::string id = std::string("test.") + name;
  const Outcome listing = command.run("plugins list --probe --json --probe-limit 1");
  ASSERT_EQ(listing.code, 0) << listing.err;
  const Json plugin = entry(listing.json(), id);
  EXPECT_EQ(plugin.at("state"), "quarantined") << plugin;
  EXPECT_THAT(plugin.at("reason").get<std::string>(), HasSubstr(reason));
  // It stays so, and a plain listing knows it without running anything.
  EXPECT_EQ(entry(command.run("plugins list --json").json(), id).at("state"), "quarantined");
  const Outcome why = command.run("plugins why " + id);
  EXPECT_EQ(why.code, 10);
  EXPECT_THAT(why.out, HasSubstr(reason));
}

INSTANTIATE_TEST_SUITE_P(
    Hostile, Probe,
    ::testing::Values(
        Misbehaviour{"no_entry", "exports no symbol qh_plugin_entry_v1"},
        Misbehaviour{"garbage_sizes", "says it has 4294967295 bytes"},
        Misbehaviour{"throws", "an exception left the plugin: thrown by a plugin"},
        Misbehaviour{"segfaults", "crashed with signal 11"},
        Misbehaviour{
            "exits",
            "ended the whole process with exit code 7 while the loader ran its constructors"},
        Misbehaviour{"hangs", "hangs: not done after 1 s in its entry point"},
        Misbehaviour{"lies", "the manifest has id 'test.lies', the plugin itself does not"},
        Misbehaviour{"wrong_minor", "77, which was not offered"},
        Misbehaviour{"fails_silently", "gave no reason"}),
    [](const auto& info) { return std::string(info.param.name); });

PluginHostOptions options_for(const Command& command) {
  PluginHostOptions options;
  options.probe_time_limit = std::chrono::milliseconds(1000);
  SearchContext context = SearchContext::of_this_process();
  const std::string home = command.home().string(), plugins = command.plugins().string();
  context.environment = [home, plugins](const char* name) -> std::optional<std::string> {
    const std::string_view wanted(name);
    if (wanted == "HOME") return home;
    if (wanted == "QUANTHOST_PLUGIN_PATH") return plugins;
    if (wanted == "QUANTHOST_PLUGIN_SYSTEM_PATH") return "/nonexistent";
    return std::nullopt;
  };
  options.context = context;
  return options;
}

TEST(Use, IsRefusedBeforeAPluginThatWasNeverProbedCanDoHarm) {
  const Command command;
  for (const char* name : {"segfaults", "hangs", "exits"}) {
    put(command, name);
    PluginHost host(options_for(command));
    const Plan plan = host.resolve(host.find_method(name), {"cpu"});
    try {
      host.open(plan);
      FAIL() << name << " was opened";
    } catch (const Error& e) {
      EXPECT_THAT(e.message(), HasSubstr("is quarantined")) << name;
    }
    EXPECT_THROW(host.find_method(name), Error);
  }
}

TEST(Use, OfASoundPluginOpensItOnceAndSaysWhatItLacks) {
  const Command command;
  put(command, "sound");
  PluginHost host(options_for(command));
  const Plan plan = host.resolve(host.find_method("sound"), {"cpu"});
  try {
    host.open(plan);
    FAIL() << "it has no quantizer table";
  } catch (const Error& e) {
    EXPECT_THAT(e.message(),
                HasSubstr("test.sound: method sound: this plugin provides no quantizer"));
  }
}

TEST(Probe, PassesASoundPluginAndRemembersIt) {
  const Command command;
  put(command, "sound");
  EXPECT_EQ(entry(command.run("plugins list --probe --json").json(), "test.sound").at("state"),
            "ok");
  EXPECT_EQ(entry(command.run("plugins list --json").json(), "test.sound").at("probed"), true);
}

TEST(Probe, LetsAFloodOfOutputPassAndWarns) {
  const Command command;
  put(command, "floods");
  const Outcome outcome = command.run("plugins list --probe --json");
  EXPECT_EQ(entry(outcome.json(), "test.floods").at("state"), "ok");
  EXPECT_LT(outcome.out.size() + outcome.err.size(), 64u * 1024)
      << "the plugin's output got through";
  EXPECT_THAT(outcome.err, HasSubstr("wrote 8388608 bytes to stdout and 8388608 to stderr"));
}

TEST(Probe, LeavesNoProcessOfAPluginBehind) {
  Command command;
  put(command, "forks");
  const fs::path trace = command.directory() / "trace";
  command.environment = {{"QH_TEST_TRACE", trace.string()}};
  const Outcome outcome = command.run("plugins list --probe --json");
  EXPECT_EQ(entry(outcome.json(), "test.forks").at("state"), "ok");
  EXPECT_THAT(outcome.err, HasSubstr("left 1 process running"));
  const pid_t left = std::stoi(bytes_of(trace));
  EXPECT_EQ(::kill(left, 0), -1) << "process " << left << " is still there";
}

TEST(Probe, TakesAboutAsLongForTenThatHangAsForOne) {
  const Command command;
  for (int i = 0; i < 10; ++i) {
    // One id each, so that none shadows another: the manifest's "test.hangs" is patched in place.
    std::string bytes = bytes_of(hostile("hangs"));
    for (auto at = bytes.find("test.hangs"); at != bytes.npos;
         at = bytes.find("test.hangs", at + 1)) {
      bytes[at + 9] = static_cast<char>('0' + i);
    }
    write_bytes(command.plugins() / ("hangs" + std::to_string(i) + ".so"), bytes);
  }
  const auto start = std::chrono::steady_clock::now();
  const Outcome outcome = command.run("plugins list --probe --json --probe-limit 3");
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(outcome.code, 0);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(entry(outcome.json(), "test.hang" + std::to_string(i)).at("state"), "quarantined");
  }
  EXPECT_LT(took, std::chrono::seconds(20)) << "one after the other they would take 30 s";
}

TEST(Probe, ShowsAllOfThemInOneListing) {
  const Command command;
  int count = 0;
  for (const auto& file : fs::directory_iterator(hostile("x").parent_path())) {
    if (file.path().extension() != ".so") continue;
    fs::copy_file(file.path(), command.plugins() / file.path().filename());
    ++count;
  }
  ASSERT_GT(count, 15);
  const Outcome outcome = command.run("plugins list --probe --all --json --probe-limit 1");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const Json listing = outcome.json();
  EXPECT_EQ(listing.at("plugins").size(), static_cast<std::size_t>(count));
  for (const Json& plugin : listing.at("plugins")) {
    EXPECT_TRUE(plugin.at("state") == "ok" || !plugin.at("reason").get<std::string>().empty())
        << plugin;
  }
}

TEST(Quarantine, EndsWithRetryOnceThePluginBehaves) {
  const Command command;
  const fs::path file = command.plugins() / "segfaults.so";
  put(command, "segfaults");
  command.run("plugins list --probe");
  EXPECT_EQ(command.run("plugins retry test.segfaults").code, 10);
  // A repaired file is another file: no retry is needed.
  fs::remove(file);
  fs::copy_file(hostile("sound"), file);
  EXPECT_EQ(entry(command.run("plugins list --json").json(), "test.sound").at("state"), "ok");
}

}  // namespace
}  // namespace quanthost::test

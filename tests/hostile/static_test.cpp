// What a plain listing says of broken files, without running or opening any of them.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "tests/hostile/hostile_plugins.hpp"

namespace quanthost::test {
namespace {

using ::testing::HasSubstr;

void expect_state(const Command& command, const std::string& id, const std::string& state,
                  const std::string& reason) {
  const Outcome outcome = command.run("plugins list --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json plugin = entry(outcome.json(), id);
  ASSERT_FALSE(plugin.is_null()) << outcome.out;
  EXPECT_EQ(plugin.at("state"), state) << plugin;
  EXPECT_THAT(plugin.at("reason").get<std::string>(), HasSubstr(reason));
}

TEST(HostileFile, ThatIsNotElfIsRejected) {
  const Command command;
  write_bytes(command.plugins() / "text.so", "#!/bin/sh\necho hello\n");
  expect_state(command, "text", "rejected", "not an ELF file");
}

TEST(HostileFile, ThatIsEmptyIsRejected) {
  const Command command;
  write_bytes(command.plugins() / "empty.so", "");
  expect_state(command, "empty", "rejected", "empty");
}

TEST(HostileFile, CutAnywhereIsNeverReadBeyondItsEnd) {
  const Command command;
  const std::string whole = bytes_of(hostile("sound"));
  for (const std::size_t size : {std::size_t{3}, std::size_t{40}, std::size_t{64}, std::size_t{100},
                                 std::size_t{700}, whole.size() / 2}) {
    write_bytes(command.plugins() / ("cut" + std::to_string(size) + ".so"), whole.substr(0, size));
  }
  const Outcome outcome = command.run("plugins list --all");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("cut3.so"));
  for (const std::size_t size :
       {std::size_t{3}, std::size_t{40}, std::size_t{64}, std::size_t{100}}) {
    expect_state(command, "cut" + std::to_string(size), "rejected", "");
  }
}

TEST(HostileFile, ForAnotherMachineIsRejectedByName) {
  const Command command;
  std::string bytes = bytes_of(hostile("sound"));
  patch(bytes, 18, 183, 2);  // e_machine
  write_bytes(command.plugins() / "arm.so", bytes);
  expect_state(command, "arm", "rejected", "built for AArch64");
}

TEST(HostileFile, WithHugeSectionsIsReadByItsSegmentsWithinAFewMegabytes) {
  const Command command;
  std::string bytes = bytes_of(hostile("sound"));
  const std::size_t sections = read_u64(bytes, 40);
  const std::size_t count =
      static_cast<unsigned char>(bytes[60]) + 256u * static_cast<unsigned char>(bytes[61]);
  for (std::size_t i = 1; i < count; ++i)
    patch(bytes, sections + i * 64 + 32, std::uint64_t{1} << 40, 8);  // sh_size
  write_bytes(command.plugins() / "huge.so", bytes);
  expect_state(command, "test.sound", "ok", "");
}

TEST(HostileFile, WithSectionHeadersBeyondTheEndIsRejected) {
  const Command command;
  std::string bytes = bytes_of(hostile("sound"));
  patch(bytes, 40, ~std::uint64_t{0} - 63, 8);  // e_shoff
  write_bytes(command.plugins() / "beyond.so", bytes);
  expect_state(command, "beyond", "rejected", "truncated or corrupted");
}

TEST(HostileFile, WithoutAManifestIsNoPlugin) {
  const Command command;
  fs::copy_file(hostile("others/no_manifest"), command.plugins() / "no_manifest.so");
  expect_state(command, "no_manifest", "rejected", "not a quanthost plugin");
}

TEST(HostileManifest, IsRefusedWhenItIsTooLongTooDeepAliasedMalformedOrNotUnderstood) {
  const Command command;
  for (const char* name :
       {"oversized_yaml", "deep_yaml", "aliased_yaml", "malformed_yaml", "unknown_critical"})
    put(command, name);
  expect_state(command, "oversized_yaml", "rejected", "at most 65536 are allowed");
  expect_state(command, "deep_yaml", "rejected", "nested deeper than");
  expect_state(command, "aliased_yaml", "rejected", "anchors are not allowed");
  expect_state(command, "malformed_yaml", "rejected", "line ");
  expect_state(command, "unknown_critical", "rejected", "'teleportation' must be understood");
}

TEST(HostileFile, ThatIsASymlinkLoopOrAFifoOrADirectoryIsRejectedWithoutWaiting) {
  const Command command;
  fs::create_symlink("b.so", command.plugins() / "a.so");
  fs::create_symlink("a.so", command.plugins() / "b.so");
  fs::create_directory(command.plugins() / "folder.so");
  ASSERT_EQ(::mkfifo((command.plugins() / "fifo.so").c_str(), 0600), 0);
  expect_state(command, "a", "rejected", "symbolic links");
  expect_state(command, "fifo", "rejected", "is a FIFO");
  expect_state(command, "folder", "rejected", "is a directory");
}

TEST(HostilePlugin, ThatNeedsAMissingLibraryIsUnavailableByName) {
  const Command command;
  put(command, "needs_library");
  expect_state(command, "test.needs_library", "unavailable",
               "needs libqh_test_missing.so, which is not installed");
}

TEST(HostilePlugin, ForAnotherAbiIsIncompatibleInOneSentence) {
  const Command command;
  std::string bytes = bytes_of(hostile("sound"));
  const auto at = bytes.find("\nabi: \"");
  ASSERT_NE(at, bytes.npos);
  bytes[at + 7] = '7';
  write_bytes(command.plugins() / "future.so", bytes);
  expect_state(command, "test.sound", "incompatible", "built for plugin ABI 7.");
  EXPECT_EQ(command.run("plugins why test.sound").code, 5);
}

TEST(HostileDirectory, ThatEveryoneCanWriteMakesItsPluginsUntrusted) {
  const Command command;
  put(command, "sound");
  fs::permissions(command.plugins(), fs::perms::all);
  expect_state(command, "test.sound", "untrusted", "can be written by every user");
  EXPECT_EQ(command.run("plugins why test.sound").code, 6);
  EXPECT_EQ(command.run("plugins why test.sound --trust off").code, 0);
  EXPECT_THAT(command.run("plugins paths").out, HasSubstr("not trusted"));
}

TEST(PlainListing, RunsNoPluginCodeAndOpensNothing) {
  Command command;
  put(command, "tattles");
  put(command, "segfaults");
  const fs::path trace = command.directory() / "trace", log = command.directory() / "dlopen.log";
  command.environment = {{"QH_TEST_TRACE", trace.string()},
                         {"QH_TEST_DLOPEN_LOG", log.string()},
                         {"LD_PRELOAD", hostile("others/count_dlopen").string()},
                         {"ASAN_OPTIONS", "verify_asan_link_order=0"}};
  for (const char* verb : {"plugins list", "plugins list --json", "plugins inspect test.tattles",
                           "plugins deps", "methods", ""}) {
    EXPECT_EQ(command.run(verb).code, 0) << verb;
  }
  EXPECT_FALSE(fs::exists(trace)) << "a constructor ran";
  EXPECT_EQ(bytes_of(log), "");
  // The same means do notice it when code runs and a library is opened.
  EXPECT_EQ(command.run("plugins list --probe").code, 0);
  EXPECT_TRUE(fs::exists(trace));
  EXPECT_THAT(bytes_of(log), HasSubstr("tattles.so"));
}

}  // namespace
}  // namespace quanthost::test

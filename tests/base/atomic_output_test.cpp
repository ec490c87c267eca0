#include "host/base/atomic_output.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "host/base/error.hpp"
#include "tests/base/temporary_directory.hpp"

namespace quanthost {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::read_bytes;
using testing::TemporaryDirectory;

void put(const fs::path& path, std::string_view text) { std::ofstream(path) << text; }

std::size_t entries(const fs::path& directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), {}));
}

void save(const fs::path& destination, std::string_view text) {
  AtomicOutput output(destination, OutputKind::kDirectory);
  put(output.path() / "config.json", text);
  output.commit();
}

TEST(AtomicOutput, MakesADirectoryAndItsParents) {
  TemporaryDirectory root;
  save(root / "a/b/out/", "new");
  EXPECT_EQ(read_bytes(root / "a/b/out/config.json"), "new");
  EXPECT_EQ(entries(root / "a/b"), 1u) << "nothing is left beside it";
}

TEST(AtomicOutput, ReplacesACheckpointWhole) {
  TemporaryDirectory root;
  save(root / "out", "old");
  put(root / "out/old.safetensors", "x");
  save(root / "out", "new");
  EXPECT_EQ(read_bytes(root / "out/config.json"), "new");
  EXPECT_FALSE(fs::exists(root / "out/old.safetensors"));
  EXPECT_EQ(entries(root.path()), 1u);
}

TEST(AtomicOutput, LeavesTheOldOneWhenItIsNotCommitted) {
  TemporaryDirectory root;
  save(root / "out", "old");
  {
    AtomicOutput output(root / "out", OutputKind::kDirectory);
    put(output.path() / "config.json", "half");
  }
  EXPECT_EQ(read_bytes(root / "out/config.json"), "old");
  EXPECT_EQ(entries(root.path()), 1u);
}

TEST(AtomicOutput, ReplacesThroughASymbolicLinkAndKeepsTheLink) {
  TemporaryDirectory root;
  save(root / "real", "old");
  fs::create_symlink(root / "real", root / "link");
  save(root / "link", "new");
  EXPECT_TRUE(fs::is_symlink(root / "link"));
  EXPECT_EQ(read_bytes(root / "real/config.json"), "new");
}

TEST(AtomicOutput, RefusesToReplaceADirectoryThatHoldsNoCheckpoint) {
  TemporaryDirectory root;
  fs::create_directory(root / "home");
  put(root / "home/thesis.tex", "years of work");
  try {
    AtomicOutput output(root / "home", OutputKind::kDirectory);
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("holds no checkpoint, so it is not replaced"));
  }
  EXPECT_EQ(read_bytes(root / "home/thesis.tex"), "years of work");
}

// Asked before the work, it says what the output would say after it, and leaves no trace.
TEST(NeedReplaceable, RefusesWhatAnOutputRefuses) {
  TemporaryDirectory root;
  fs::create_directory(root / "home");
  put(root / "home/thesis.tex", "years of work");
  EXPECT_THROW(need_replaceable(root / "home", OutputKind::kDirectory), Error);
  EXPECT_THROW(need_replaceable(root / "home/thesis.tex", OutputKind::kDirectory), Error);
  EXPECT_THROW(need_replaceable("", OutputKind::kDirectory), Error);
  need_replaceable(root / "new/folder", OutputKind::kDirectory);
  EXPECT_FALSE(fs::exists(root / "new"));
}

TEST(AtomicOutput, RefusesAFileWhereADirectoryShallBeAndTheReverse) {
  TemporaryDirectory root;
  put(root / "file", "x");
  EXPECT_THROW(AtomicOutput(root / "file", OutputKind::kDirectory), Error);
  EXPECT_THROW(AtomicOutput(root.path(), OutputKind::kFile), Error);
  EXPECT_THROW(AtomicOutput("", OutputKind::kFile), Error);
}

TEST(AtomicOutput, ReplacesAFile) {
  TemporaryDirectory root;
  put(root / "out.json", "old");
  {
    AtomicOutput output(root / "out.json", OutputKind::kFile);
    put(output.path(), "new");
    EXPECT_EQ(read_bytes(root / "out.json"), "old");
    output.commit();
  }
  EXPECT_EQ(read_bytes(root / "out.json"), "new");
  EXPECT_EQ(entries(root.path()), 1u);
}

TEST(AtomicOutput, APrivateFileAndTheFoldersMadeForItAreForThisUserAlone) {
  TemporaryDirectory root;
  const auto mode = [](const fs::path& path) { return fs::status(path).permissions(); };
  const mode_t before = ::umask(0);
  write_private_file(root / "a/b/settings.json", "one");
  fs::permissions(root / "a/b/settings.json", fs::perms::all);
  write_private_file(root / "a/b/settings.json", "two");
  ::umask(before);
  EXPECT_EQ(read_bytes(root / "a/b/settings.json"), "two");
  EXPECT_EQ(mode(root / "a/b/settings.json"), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(mode(root / "a"), fs::perms::owner_all);
  EXPECT_EQ(mode(root / "a/b"), fs::perms::owner_all);
  EXPECT_EQ(entries(root / "a/b"), 1u);
}

TEST(AtomicOutput, RemovesWhatAKilledProcessLeftButNotWhatALivingOneWrites) {
  TemporaryDirectory root;
  AtomicOutput living(root / "out", OutputKind::kDirectory);
  const pid_t child = ::fork();
  if (child == 0) {
    auto* killed = new AtomicOutput(root / "out", OutputKind::kDirectory);
    put(killed->path() / "config.json", "half");
    ::_exit(0);  // as a kill would: no destructor runs
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(entries(root.path()), 2u);
  save(root / "out", "new");
  EXPECT_TRUE(fs::exists(living.path()));
  EXPECT_EQ(entries(root.path()), 2u);
}

TEST(AtomicOutput, PutsBackADirectoryThatWasMovedAside) {
  TemporaryDirectory root;
  fs::create_directory(root / ".out.quanthost-old-12345678");
  put(root / ".out.quanthost-old-12345678/config.json", "old");
  { AtomicOutput output(root / "out", OutputKind::kDirectory); }
  EXPECT_EQ(read_bytes(root / "out/config.json"), "old");
  EXPECT_EQ(entries(root.path()), 1u);
}

TEST(ReplaceDirectory, MovesTheOldOneAsideWhereNoExchangeIsPossible) {
  TemporaryDirectory root;
  save(root / "out", "old");
  save(root / "fresh", "new");
  replace_directory(root / "fresh", root / "out", Replacing::kByMovingAside);
  EXPECT_EQ(read_bytes(root / "out/config.json"), "new");
  EXPECT_EQ(entries(root.path()), 1u);
}

TEST(ReplaceDirectory, PutsTheOldOneBackWhenTheNewOneCannotTakeItsPlace) {
  TemporaryDirectory root;
  save(root / "out", "old");
  EXPECT_THROW(replace_directory(root / "missing", root / "out", Replacing::kByMovingAside), Error);
  EXPECT_EQ(read_bytes(root / "out/config.json"), "old");
  EXPECT_EQ(entries(root.path()), 1u);
}

TEST(ReplaceDirectory, NeedsNoOldOne) {
  TemporaryDirectory root;
  save(root / "fresh", "new");
  replace_directory(root / "fresh", root / "out", Replacing::kByMovingAside);
  EXPECT_EQ(read_bytes(root / "out/config.json"), "new");
  EXPECT_EQ(interrupted_output(root / "out"), "");
}

}  // namespace
}  // namespace quanthost

#include <gtest/gtest.h>

#include "host/base/atomic_output.hpp"
#include "host/plugins/library_search.hpp"
#include "host/plugins/quarantine.hpp"
#include "host/plugins/registry_cache.hpp"
#include "tests/cli/command.hpp"

namespace quanthost {
namespace {

namespace fs = std::filesystem;
const FileIdentity kIdentity{1, 2, 3, 4};

PluginFileContent content() {
  PluginFileContent out;
  out.manifest = Manifest::parse("manifest: 1\nid: x\nversion: 1.0.0\nabi: \"1.0\"\n", "t");
  out.needed_libraries = {"libc.so.6"};
  return out;
}

TEST(RegistryCache, GivesBackWhatItKeptForTheSameFileAlone) {
  const test::TemporaryDirectory directory;
  const fs::path file = directory.path() / "cache.json";
  {
    RegistryCache cache(file);
    cache.store("/p.so", kIdentity, content());
    cache.set_probed("/p.so", kIdentity);
    cache.save();
  }
  const RegistryCache cache(file);
  const auto* entry = cache.find("/p.so", kIdentity);
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->content.manifest->id, "x");
  EXPECT_EQ(entry->content.needed_libraries.at(0), "libc.so.6");
  EXPECT_TRUE(entry->probed);
  FileIdentity touched = kIdentity;
  touched.mtime_ns += 1;
  EXPECT_EQ(cache.find("/p.so", touched), nullptr);
}

TEST(RegistryCache, IgnoresAFileThatIsDamagedOfAnotherHostOrWritableByOthers) {
  const test::TemporaryDirectory directory;
  const fs::path file = directory.path() / "cache.json";
  RegistryCache whole(file);
  whole.store("/p.so", kIdentity, content());
  whole.save();
  const std::string good = test::Command::read(file);
  for (std::size_t size = 0; size < good.size(); size += 7) {
    write_private_file(file, good.substr(0, size));
    EXPECT_EQ(RegistryCache(file).find("/p.so", kIdentity), nullptr) << size;
  }
  std::string other = good;
  other.replace(other.find(" abi "), 5, " abi 9");
  write_private_file(file, other);
  EXPECT_EQ(RegistryCache(file).find("/p.so", kIdentity), nullptr);
  write_private_file(file, good);
  EXPECT_NE(RegistryCache(file).find("/p.so", kIdentity), nullptr);
  fs::permissions(file, fs::perms::others_write, fs::perm_options::add);
  EXPECT_EQ(RegistryCache(file).find("/p.so", kIdentity), nullptr);
}

TEST(Quarantine, HoldsAFileUntilItChangesOrAWeekHasPassed) {
  const test::TemporaryDirectory directory;
  const fs::path file = directory.path() / "quarantine.json";
  const auto now = Quarantine::Clock::now();
  {
    Quarantine quarantine(file, now);
    quarantine.add("/p.so", kIdentity, "crashed", "last words");
    quarantine.save();
  }
  const auto held = [&](auto later, const FileIdentity& identity) {
    const Quarantine quarantine(file, now + later);
    return quarantine.find("/p.so", identity) != nullptr;
  };
  FileIdentity repaired = kIdentity;
  repaired.size = 99;
  EXPECT_TRUE(held(std::chrono::hours(0), kIdentity));
  EXPECT_TRUE(held(std::chrono::hours(7 * 24 - 1), kIdentity));
  EXPECT_FALSE(held(std::chrono::hours(7 * 24 + 1), kIdentity));
  EXPECT_FALSE(held(std::chrono::hours(0), repaired));
  EXPECT_FALSE(held(-std::chrono::hours(24), kIdentity))
      << "a clock that was set back must not hold it for ever";
}

TEST(LibrarySearch, FindsWhatTheLoaderFindsAndNothingElse) {
  const LibrarySearch search(false);
  EXPECT_TRUE(search.find("libc.so.6", {}, {}));
  EXPECT_FALSE(search.find("libquanthost_of_nobody.so.7", {}, {}));
  const test::TemporaryDirectory directory;
  write_private_file(directory.path() / "deps" / "libx.so", "x");
  EXPECT_TRUE(search.find("libx.so", {"$ORIGIN/deps"}, directory.path()));
  EXPECT_TRUE(search.find("libx.so", {"${ORIGIN}/deps"}, directory.path()));
  EXPECT_FALSE(search.find("libx.so", {"$ORIGIN"}, directory.path()));
}

TEST(LibrarySearch, SurvivesADamagedLoaderCache) {
  const std::string cache = test::Command::read("/etc/ld.so.cache");
  if (cache.empty()) GTEST_SKIP() << "this system has no /etc/ld.so.cache";
  EXPECT_TRUE(parse_loader_cache(cache).contains("libc.so.6"));
  for (std::size_t size = 0; size < cache.size(); size += 997)
    parse_loader_cache(std::string_view(cache).substr(0, size));
  std::string wild = cache;
  for (std::size_t i = 20; i < wild.size(); i += 3) wild[i] = '\xff';
  EXPECT_FALSE(parse_loader_cache(wild).contains("libc.so.6"));
}

}  // namespace
}  // namespace quanthost

// Kills a process while it saves over a checkpoint: what is there afterwards is the old one or the
// new one, whole.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "host/base/atomic_output.hpp"
#include "host/base/error.hpp"
#include "host/checkpoint/checkpoint.hpp"
#include "host/checkpoint/checkpoint_writer.hpp"
#include "tests/base/temporary_directory.hpp"

namespace quanthost {
namespace {

using testing::TemporaryDirectory;

constexpr int kKills = 50;
constexpr int kTensors = 24;
constexpr std::int64_t kTensorBytes = 64 << 10;

std::string tensor_name(int i) { return fmt::format("layers.{}.weight", i); }

// Every byte of every tensor, and config.json, carry the mark.
void save(const std::filesystem::path& destination, std::uint8_t mark) {
  AtomicOutput output(destination, OutputKind::kDirectory);
  std::vector<TensorDeclaration> tensors;
  for (int i = 0; i < kTensors; ++i)
    tensors.push_back({tensor_name(i), Dtype::kU8, {kTensorBytes}});
  CheckpointWriterOptions options;
  options.max_shard_bytes = kTensorBytes * kTensors / 4;
  CheckpointWriter writer(output.path(), tensors, options);
  const std::vector<std::byte> data(kTensorBytes, std::byte{mark});
  for (const auto& tensor : tensors) writer.write(tensor.name, data);
  writer.finish();
  write_json_file(output.path() / "config.json", {{"mark", mark}});
  output.commit();
}

// The mark of a whole checkpoint; a failure of the test for any other state.
int mark_of(const std::filesystem::path& destination) {
  const Checkpoint checkpoint = Checkpoint::open(destination);
  const int mark = checkpoint.config()->at("mark").get<int>();
  EXPECT_EQ(checkpoint.tensors().size(), static_cast<std::size_t>(kTensors));
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    const auto view = tensor.view();
    EXPECT_TRUE(std::all_of(view.begin(), view.end(), [&](std::byte b) {
      return b == std::byte(mark);
    })) << tensor.name();
  }
  return mark;
}

TEST(Crash, LeavesTheOldOrTheNewCheckpointWhole) {
  TemporaryDirectory root;
  const auto destination = root / "model";
  save(destination, 0);
  const auto begin = std::chrono::steady_clock::now();
  save(destination, 0);
  const auto one_save = std::chrono::steady_clock::now() - begin;
  std::mt19937 random(20240501);
  std::uniform_real_distribution<double> moment(0.0, 1.2);
  int old_mark = 0;
  int replaced = 0;
  for (int kill = 1; kill <= kKills; ++kill) {
    const pid_t child = ::fork();
    if (child == 0) {
      save(destination, static_cast<std::uint8_t>(kill));
      ::_exit(0);
    }
    std::this_thread::sleep_for(one_save * moment(random));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const int mark = mark_of(destination);
    ASSERT_TRUE(mark == old_mark || mark == kill) << "kill " << kill << " left mark " << mark;
    replaced += mark == kill;
    old_mark = mark;
  }
  RecordProperty("saves that got through", replaced);
  save(destination, 99);
  EXPECT_EQ(mark_of(destination), 99);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root.path()), {}), 1)
      << "leftovers are gone";
}

// Runs in a child with a 2 MiB disk of its own. Exit status: 0 as it should be, 1 not so, 2 no such
// disk here.
int save_on_a_full_disk(const std::filesystem::path& root) {
  if (::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 2;
  ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  if (::mount("tmpfs", root.c_str(), "tmpfs", 0, "size=2m") != 0) return 2;
  save(root / "model", 1);  // takes 1.5 MiB; a second one does not fit beside it
  try {
    save(root / "model", 2);
  } catch (const Error& e) {
    const bool is_clear =
        std::string(e.what()).find("No space left on device") != std::string::npos;
    const bool is_clean = std::distance(std::filesystem::directory_iterator(root), {}) == 1;
    return is_clear && is_clean && mark_of(root / "model") == 1 ? 0 : 1;
  }
  return 1;
}

TEST(FullDisk, KeepsTheOldCheckpointAndRemovesThePartialOne) {
  TemporaryDirectory root;
  const pid_t child = ::fork();
  if (child == 0) ::_exit(save_on_a_full_disk(root.path()));
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 2)
    GTEST_SKIP() << "this machine does not let a test mount a disk of its own";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace quanthost

// The CUDA and HIP devices over drivers of the tests' own, which count what is left over; and
// without any driver.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "host/base/error.hpp"
#include "host/devices/providers.hpp"
#include "tests/folders.hpp"

namespace quanthost {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string fake(const char* name) { return test::build_folder() + "/tests/fake_" + name + ".so"; }

int ask(const char* library, const char* question) {
  void* handle = dlopen(fake(library).c_str(), RTLD_NOW | RTLD_NOLOAD);
  const auto function = reinterpret_cast<int (*)()>(dlsym(handle, question));
  const int answer = function();
  dlclose(handle);
  return answer;
}

// Everything the interface offers, once.
void exercise(Device& device) {
  const DeviceStream stream(device);
  const DeviceStream other(device);
  const DeviceMemory memory(device, 1 << 20, stream.native());
  const PinnedMemory pinned(device, 4096);
  std::fill_n(static_cast<char*>(pinned.data()), 4096, 'q');
  device.copy(CopyKind::kToDevice, memory.data(), pinned.data(), 4096, stream.native());
  device.copy(CopyKind::kWithinDevice, static_cast<char*>(memory.data()) + 4096, memory.data(),
              4096, stream.native());
  device.fill(memory.data(), 'z', 1, stream.native());
  DeviceEvent event(device);
  EXPECT_FALSE(event.has_happened());
  event.record(stream);
  EXPECT_TRUE(event.has_happened());
  event.hold_back(other);
  event.wait();
  std::string back(8192, ' ');
  device.copy(CopyKind::kToHost, back.data(), memory.data(), back.size(), stream.native());
  device.wait_for_stream(stream.native());
  EXPECT_EQ(back, "z" + std::string(8191, 'q'));
}

TEST(CudaDevices, AreDescribedByTheDriver) {
  const std::vector<DeviceInfo> all = make_cuda_provider(fake("cuda"))->list();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name(), "cuda:0");
  EXPECT_EQ(all[0].model, "Fake H200");
  EXPECT_EQ(all[0].capability, "sm_90");
  EXPECT_EQ(all[1].capability, "sm_80");
  EXPECT_EQ(all[1].warp_size, 32u);
  EXPECT_EQ(all[1].memory_total_bytes, std::uint64_t{80} << 30);
}

TEST(CudaDevices, LeaveNothingBehindAndNoContextCurrent) {
  const auto provider = make_cuda_provider(fake("cuda"));
  for (const int index : {0, 1}) {  // with memory pools, and without
    const auto device = provider->open(index);
    EXPECT_EQ(device->info().memory_free_bytes, std::uint64_t{70} << 30);
    exercise(*device);
    EXPECT_EQ(ask("cuda", "fake_allocations"), 0);
    EXPECT_EQ(ask("cuda", "fake_handles"), 0);
    EXPECT_EQ(ask("cuda", "fake_depth"), 0);
  }
}

TEST(CudaDevices, SayHowMuchMemoryWasAskedFor) {
  const auto provider = make_cuda_provider(fake("cuda"));
  const auto device = provider->open(0);
  EXPECT_THAT(
      [&] { device->allocate(std::size_t{81} << 30, nullptr); },
      ThrowsMessage<Error>(
          "allocating 86973087744 bytes of CUDA memory: CUDA_ERROR_OUT_OF_MEMORY: out of memory"));
  EXPECT_EQ(ask("cuda", "fake_depth"), 0);
}

TEST(CudaDevices, AreAbsentWithTheDriversOwnWords) {
  setenv("FAKE_CUDA_INIT", "100", 1);
  const std::vector<DeviceInfo> all = make_cuda_provider(fake("cuda"))->list();
  unsetenv("FAKE_CUDA_INIT");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].reason,
            "starting the CUDA driver: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected");
}

TEST(CudaDevices, AreAbsentWithTheLoadersWordsWhereThereIsNoDriver) {
  const auto provider = make_cuda_provider("libcuda-that-is-not-there.so.1");
  for (int again = 0; again < 2; ++again) {
    EXPECT_THAT(
        provider->list().front().reason,
        HasSubstr("no NVIDIA driver: libcuda-that-is-not-there.so.1: cannot open shared object"));
  }
}

TEST(CudaDevices, AreAbsentWhenTheDriverLacksAFunction) {
  EXPECT_THAT(make_cuda_provider(fake("hip"))->list().front().reason,
              HasSubstr("has no function cuInit"));
}

class CountingAllocator : public DeviceAllocator {
 public:
  void* allocate(std::size_t bytes, void*) override {
    ++taken;
    return std::malloc(bytes);
  }
  void release(void* memory, void*) noexcept override {
    --taken;
    std::free(memory);
  }
  int taken = 0;
};

TEST(CudaDevices, TakeMemoryFromTheAllocatorTheyAreGiven) {
  const auto provider = make_cuda_provider(fake("cuda"));
  const auto device = provider->open(0);
  const auto allocator = std::make_shared<CountingAllocator>();
  device->set_allocator(allocator);
  {
    const DeviceMemory memory(*device, 64, nullptr);
    EXPECT_EQ(allocator->taken, 1);
    EXPECT_EQ(ask("cuda", "fake_allocations"), 0);
  }
  EXPECT_EQ(allocator->taken, 0);
}

// The kernel driver's folder of nodes, as a machine with one CPU node and one GPU has it.
class HipDevices : public ::testing::Test {
 protected:
  void SetUp() override {
    write_node(0, "gfx_target_version 0\nsimd_count 0\n");
    // 0001:c1:00.0
    write_node(1,
               "simd_count 440\nwave_front_size 64\ngfx_target_version 90010\nlocation_id "
               "49408\ndomain 1\n");
    paths_.libraries = {"libamdhip64-that-is-not-there.so.7", fake("hip")};
    paths_.driver = "/dev/null";
    paths_.topology = folder_;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write_node(int index, const char* properties) {
    const std::filesystem::path node = folder_ / std::to_string(index);
    std::filesystem::create_directories(node);
    std::ofstream(node / "properties") << properties;
  }

  std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("kfd" + std::to_string(getpid()));
  HipPaths paths_;
};

TEST_F(HipDevices, AreDescribedByTheRuntimeAndTheKernelsDriver) {
  const std::vector<DeviceInfo> all = make_hip_provider(paths_)->list();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].name(), "hip:0");
  EXPECT_EQ(all[0].model, "Fake MI250X");
  EXPECT_EQ(all[0].capability, "gfx90a");
  EXPECT_EQ(all[0].warp_size, 64u);
}

TEST_F(HipDevices, WorkOnTheirDeviceAndRestoreTheCallers) {
  const auto provider = make_hip_provider(paths_);
  const auto device = provider->open(0);
  EXPECT_EQ(device->info().memory_free_bytes, std::uint64_t{60} << 30);
  exercise(*device);
  EXPECT_EQ(ask("hip", "fake_allocations"), 0);
  EXPECT_EQ(ask("hip", "fake_current"), -1);
}

TEST_F(HipDevices, AreAbsentWithTheMissingKernelDriverAsTheCause) {
  setenv("FAKE_HIP_DEVICES", "0", 1);
  EXPECT_THAT(make_hip_provider(paths_)->list().front().reason, HasSubstr("HIP_VISIBLE_DEVICES"));
  paths_.driver = "/dev/kfd-that-is-not-there";
  EXPECT_EQ(make_hip_provider(paths_)->list().front().reason,
            "no AMD GPU driver: /dev/kfd-that-is-not-there: No such file or directory");
  unsetenv("FAKE_HIP_DEVICES");
}

TEST_F(HipDevices, AreAbsentWithTheLoadersWordsWhereThereIsNoRuntime) {
  paths_.libraries.pop_back();
  EXPECT_THAT(
      make_hip_provider(paths_)->list().front().reason,
      HasSubstr("no HIP runtime: libamdhip64-that-is-not-there.so.7: cannot open shared object"));
}

}  // namespace
}  // namespace quanthost

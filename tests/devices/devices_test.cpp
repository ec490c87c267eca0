// The registry, and the devices that every machine has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

#include "host/base/error.hpp"
#include "host/devices/providers.hpp"
#include "host/devices/registry.hpp"
#include "quanthost/kernel.hpp"

namespace quanthost {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Property;
using ::testing::ThrowsMessage;

TEST(Devices, ListsEachKindWithMemoryOrWithTheReasonWhyItIsAbsent) {
  std::vector<std::string> kinds;
  for (const DeviceInfo& info : list_devices()) {
    kinds.push_back(info.kind);
    if (info.available()) {
      EXPECT_GT(info.memory_total_bytes, 0u) << info.name();
      EXPECT_LE(info.memory_free_bytes, info.memory_total_bytes) << info.name();
    } else {
      EXPECT_FALSE(info.reason.empty()) << info.kind;
    }
  }
  for (const char* kind : {"cpu", "cuda", "hip", "emulated"})
    EXPECT_THAT(kinds, ::testing::Contains(kind));
}

TEST(Devices, OffersTheEmulatorAtBothWarpSizes) {
  EXPECT_EQ(devices().open("emulated:0").info().warp_size, 32u);
  EXPECT_EQ(devices().open("emulated:1").info().warp_size, 64u);
}

QH_KERNEL void write_warp_size(int* out) { out[gpu::thread_in_block()] = gpu::warp_size(); }

TEST(Devices, GiveTheEmulatorsKernelsTheirWarpSizeThroughTheStream) {
  for (const char* name : {"emulated:0", "emulated:1"}) {
    Device& device = devices().open(name);
    const DeviceStream stream(device);
    for (void* native : {device.default_stream(), stream.native()}) {
      std::vector<int> out(64);
      gpu::launch({native}, {1, 64}, write_warp_size, out.data());
      EXPECT_THAT(out, ::testing::Each(device.info().warp_size)) << name;
    }
  }
}

TEST(Devices, OpensADeviceOnceAndTakesAKindForItsFirst) {
  EXPECT_EQ(&devices().open("cpu"), &devices().open("cpu:0"));
  EXPECT_EQ(&devices().open("emulated"), &devices().open("emulated:0"));
}

TEST(Devices, RefusesNamesThatNameNothing) {
  const auto open = [](const char* name) { return [name] { devices().open(name); }; };
  EXPECT_THAT(open("tpu:0"), ThrowsMessage<Error>(
                                 AllOf(HasSubstr("tpu:0"), HasSubstr("cpu, cuda, hip, emulated"))));
  EXPECT_THAT(open("emulated:2"), ThrowsMessage<Error>(HasSubstr("has 2 of kind emulated")));
  EXPECT_THAT(open("cuda:x"), ThrowsMessage<Error>(HasSubstr("as in cuda:0")));
  EXPECT_THAT(open("cuda:-1"), ThrowsMessage<Error>(HasSubstr("as in cuda:0")));
  EXPECT_THAT(open("cuda:99999999999"), ThrowsMessage<Error>(HasSubstr("as in cuda:0")));
}

TEST(Devices, CopiesAndFillsHostMemory) {
  for (const char* name : {"cpu", "emulated:0"}) {
    Device& device = devices().open(name);
    const DeviceStream stream(device);
    const DeviceMemory memory(device, 1000, stream.native());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.data()) % 256, 0u);
    std::vector<char> bytes(1000);
    std::iota(bytes.begin(), bytes.end(), 0);
    device.copy(CopyKind::kToDevice, memory.data(), bytes.data(), bytes.size(), stream.native());
    device.fill(memory.data(), 7, 10, stream.native());
    DeviceEvent event(device);
    event.record(stream);
    event.wait();
    EXPECT_TRUE(event.has_happened());
    std::vector<char> back(1000);
    device.copy(CopyKind::kToHost, back.data(), memory.data(), back.size(), stream.native());
    std::fill_n(bytes.begin(), 10, 7);
    EXPECT_EQ(back, bytes) << name;
  }
}

TEST(Devices, SaysHowMuchWasAskedForWhenMemoryDoesNotSuffice) {
  EXPECT_THAT([] { devices().open("cpu").allocate(std::size_t{1} << 62, nullptr); },
              Throws<Error>(Property(&Error::kind, ErrorKind::kMemory)));
}

class OneNpuProvider : public DeviceProvider {
 public:
  std::string kind() const override { return "npu"; }
  std::vector<DeviceInfo> list() override {
    DeviceInfo info;
    info.kind = "npu";
    info.reason = "its firmware is asleep";
    return {info};
  }
  std::unique_ptr<Device> open(int) override { return nullptr; }
};

TEST(Devices, TakesProvidersOfOtherKinds) {
  DeviceRegistry registry;
  registry.add(std::make_unique<OneNpuProvider>());
  EXPECT_EQ(registry.list().back().kind, "npu");
  EXPECT_THAT([&] { registry.open("npu"); },
              ThrowsMessage<Error>(HasSubstr("its firmware is asleep")));
}

TEST(Devices, AreShownAsATableAndAsJson) {
  DeviceInfo gpu;
  gpu.kind = "cuda";
  gpu.index = 1;
  gpu.model = "Some GPU";
  gpu.capability = "sm_90";
  gpu.warp_size = 32;
  gpu.memory_total_bytes = std::uint64_t{80} << 30;
  gpu.memory_free_bytes = std::uint64_t{79} << 30;
  DeviceInfo absent;
  absent.kind = "hip";
  absent.reason = "no AMD GPU driver";
  EXPECT_EQ(devices_to_text({gpu, absent}),
            "cuda:1  Some GPU, 80.0 GiB (79.0 GiB free), sm_90\n"
            "hip     unavailable: no AMD GPU driver\n");
  const Json json = devices_to_json({gpu, absent});
  EXPECT_EQ(json["devices"][0]["name"], "cuda:1");
  EXPECT_EQ(json["devices"][0]["memory_total_bytes"], std::uint64_t{80} << 30);
  EXPECT_EQ(json["devices"][1]["available"], false);
  EXPECT_EQ(json["devices"][1]["reason"], "no AMD GPU driver");
}

}  // namespace
}  // namespace quanthost

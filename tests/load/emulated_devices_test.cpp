// Whole models through the pipeline on emulated GPUs: their kernels quantize and compute, their
// allocators hold the weights, and hidden states cross from one to the other.
#include "tests/load/emulated_devices.hpp"

#include <quanthost/kernel/emulated_stream.h>

namespace quanthost {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST_F(EmulatedDevices, CarryTheirStreamAndTheirAllocatorIntoEachCall) {
  for (const auto& [name, lanes] : {std::pair{"emulated:0", 32u}, {"emulated:1", 64u}}) {
    const Exec exec(name, nullptr);
    const qh_exec& abi = *exec.abi();
    ASSERT_NE(abi.stream, nullptr);
    const auto& stream = *static_cast<const qh_emulated_stream*>(abi.stream);
    EXPECT_EQ(stream.warp_size, lanes);
    EXPECT_NE(stream.parallel_for, nullptr) << "blocks run on the host's threads";
    CountingAllocator& there = memory(lanes == 64);
    const std::int64_t before = there.live;
    void* scratch = nullptr;
    ASSERT_EQ(abi.allocate(abi.ctx, 1000, &scratch), QH_OK);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(scratch) % 256, 0u);
    EXPECT_EQ(there.live, before + 1);
    abi.release(abi.ctx, scratch);
    EXPECT_EQ(there.live, before);
  }
  EXPECT_TRUE(memory(0).streams_seen);
}

TEST_F(EmulatedDevices, QuantizeAWholeModelIntoTheBytesOfTheCpu) {
  for (const char* device : {"emulated:0", "emulated:1", "cpu"}) {
    LoadedModel loaded = load_model(plugins(), on(device));
    EXPECT_EQ(loaded.context->plugin_modules().front()->exec().device(), device);
    save_model(loaded, folder_ / device);
  }
  for (const char* device : {"emulated:0", "emulated:1"}) {
    for (const char* file : {"model.safetensors", "config.json"}) {
      EXPECT_EQ(read_text_file(folder_ / device / file), read_text_file(folder_ / "cpu" / file))
          << device << " " << file;
    }
  }
}

// Hessians, grids and sweeps are the device's.
TEST_F(EmulatedDevices, CalibrateAWholeModelIntoTheTensorsOfTheCpu) {
  for (const char* order : {"desc_act=true", "act_group_aware=true", "static_groups=true"}) {
    SCOPED_TRACE(order);
    for (const char* device : {"emulated:0", "emulated:1", "cpu"}) {
      LoadOptions wanted = on(device, "gptq");
      wanted.quantization = user_quantization(
          "gptq", {"bits=4", "group_size=16", order,
                   R"(dataset=[{"input_ids": [1, 2, 3, 4, 5, 6]}, {"input_ids": [7, 8, 9, 10]}])"});
      const std::uint64_t before = memory(0).total + memory(1).total;
      LoadedModel loaded = load_model(plugins(), wanted);
      EXPECT_EQ(loaded.context->plugin_modules().front()->exec().device(), device);
      EXPECT_EQ(memory(0).total + memory(1).total > before, std::string(device) != "cpu");
      fs::remove_all(folder_ / device);
      save_model(loaded, folder_ / device);
    }
    for (const char* device : {"emulated:0", "emulated:1"})
      EXPECT_EQ(read_text_file(folder_ / device / "model.safetensors"),
                read_text_file(folder_ / "cpu" / "model.safetensors"))
          << device;
  }
}

TEST_F(EmulatedDevices, ComputeWhatTheCpuComputes) {
  LoadedModel there = load_model(plugins(), on("emulated:1"));
  LoadedModel here = load_model(plugins(), on("cpu"));
  EXPECT_LT(relative_error(output_of(there, "llama"), output_of(here, "llama")), 1e-4);
}

TEST_F(EmulatedDevices, ShareAModelAndHandHiddenStatesOver) {
  LoadedModel spread = load_model(plugins(), on(kTwoDevices));
  LoadedModel here = load_model(plugins(), on("cpu"));
  EXPECT_GT(memory(0).total, 0u);
  EXPECT_GT(memory(1).total, 0u);
  ASSERT_NE(spread.dispatch, nullptr);
  EXPECT_EQ(here.dispatch, nullptr);
  const at::Tensor output = output_of(spread, "llama");
  EXPECT_EQ(spread.dispatch->moves(), 2u) << "token ids to the first, hidden states to the second";
  EXPECT_LT(relative_error(output, output_of(here, "llama")), 1e-4);
  EXPECT_EQ(spread.context->plugin_module("model.layers.0.mlp.up_proj")->exec().device(),
            "emulated:0");
  EXPECT_EQ(spread.context->plugin_module("model.layers.1.mlp.up_proj")->exec().device(),
            "emulated:1");
}

TEST_F(EmulatedDevices, GiveEverythingBackWhenTheModelEnds) {
  const std::int64_t before[] = {memory(0).live, memory(1).live};
  { LoadedModel spread = load_model(plugins(), on(kTwoDevices)); }
  EXPECT_EQ(memory(0).live, before[0]);
  EXPECT_EQ(memory(1).live, before[1]);
}

TEST_F(EmulatedDevices, RunAModelWhoseBlocksAreSplitBetweenThem) {
  LoadedModel split =
      load_model(plugins(), on(R"({"": "emulated:0", "model.layers.0.mlp": "emulated:1",
                        "model.layers.1.self_attn.o_proj": "cpu"})",
                               ""));
  LoadedModel here = load_model(plugins(), on("cpu", ""));
  EXPECT_LT(relative_error(output_of(split, "llama"), output_of(here, "llama")), 1e-5);
  EXPECT_GE(split.dispatch->moves(), 5u);
}

TEST_F(EmulatedDevices, GetTheSharesThatLimitsGiveThem) {
  LoadOptions limited = on("auto", "");
  limited.max_memory = memory_limits_from_json(
      Json{{"emulated:0", 60000}, {"emulated:1", 1000000}, {"cpu", 1000000}}, "cuda");
  LoadedModel loaded = load_model(plugins(), limited);
  const auto used = loaded.device_map.devices();
  EXPECT_NE(std::find(used.begin(), used.end(), "emulated:1"), used.end());
  LoadedModel here = load_model(plugins(), on("cpu", ""));
  EXPECT_LT(relative_error(output_of(loaded, "llama"), output_of(here, "llama")), 1e-5);
}

TEST_F(EmulatedDevices, NameTheTensorWhenADeviceIsFull) {
  memory(1).limit = 1000;
  const std::int64_t before = memory(1).live;
  const Error error = error_of([&] { load_model(plugins(), on("emulated:1")); });
  memory(1).limit = ~std::uint64_t{0};
  EXPECT_EQ(memory(1).live, before);
  EXPECT_EQ(error.kind(), ErrorKind::kMemory) << error.what();
  EXPECT_THAT(error.what(), AllOf(HasSubstr("tensor "), HasSubstr("more than this device has")));
}

TEST_F(EmulatedDevices, RefuseADeviceThatDoesNotExistBeforeReading) {
  const Error error = error_of([&] { plan_load(plugins(), on("emulated:7", "")); });
  EXPECT_THAT(error.what(), HasSubstr("emulated:7"));
}

}  // namespace
}  // namespace quanthost

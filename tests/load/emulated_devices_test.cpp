// Whole models through the pipeline on emulated GPUs: their kernels quantize and compute, their
// allocators hold the weights, and hidden states cross from one to the other.
#include <quanthost/kernel/emulated_stream.h>

#include <atomic>

#include "host/load/devices.hpp"
#include "tests/load/load_fixture.hpp"

namespace quanthost {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Host memory, counted.
class CountingAllocator : public DeviceAllocator {
 public:
  void* allocate(std::size_t bytes, void* stream) override {
    if (bytes > limit) fail(ErrorKind::kMemory, "{} bytes are more than this device has", bytes);
    if (stream) streams_seen = true;
    ++live;
    total += bytes;
    return std::aligned_alloc(256, (bytes / 256 + 1) * 256);
  }
  void release(void* memory, void*) noexcept override {
    --live;
    std::free(memory);
  }
  std::atomic<std::int64_t> live = 0;
  std::atomic<std::uint64_t> total = 0, limit = ~std::uint64_t{0};
  std::atomic<bool> streams_seen = false;
};

class EmulatedDevices : public LoadPipeline {
 protected:
  // In place before anything is allocated on the devices.
  static CountingAllocator& memory(int index) {
    static std::array<std::shared_ptr<CountingAllocator>, 2> allocators = [] {
      std::array made{std::make_shared<CountingAllocator>(), std::make_shared<CountingAllocator>()};
      for (std::size_t i = 0; i < made.size(); ++i)
        compute_device("emulated:" + std::to_string(i)).set_allocator(made[i]);
      return made;
    }();
    return *allocators[static_cast<std::size_t>(index)];
  }
  void SetUp() override {
    LoadPipeline::SetUp();
    memory(0).total = memory(1).total = 0;
  }

  LoadOptions on(const std::string& map, const std::string& method = "bitsandbytes_4bit",
                 const std::string& golden = "llama") {
    LoadOptions out = options(kGoldens / golden, method);
    if (method == "bitsandbytes_4bit")
      out.quantization = user_quantization(method, {"bnb_4bit_quant_type=nf4"});
    out.device_map = parse_device_map(map, "cuda");
    return out;
  }
  static constexpr const char* kTwoDevices =
      R"({"model.embed_tokens": "emulated:0", "model.layers.0": "emulated:0",
          "model.layers.1": "emulated:1", "model.norm": "emulated:1", "lm_head": "emulated:1",
          "model.rotary_emb": "emulated:0"})";
};

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

// Each way to quantize that has kernels for accelerators: warps of 32 lanes on the first device, of
// 64 on the second.
struct Quantization {
  const char* name;
  const char* method;
  std::vector<std::string> settings;
  // bitsandbytes itself differs between devices: on CUDA FP4 writes a negative zero, and the mean
  // of the scales that double quantization takes off is summed in another order.
  bool same_bytes = true;
};

void PrintTo(const Quantization& quantization, std::ostream* out) { *out << quantization.name; }

class EmulatedQuantization : public EmulatedDevices,
                             public testing::WithParamInterface<Quantization> {
 protected:
  // Saves below the device's name what the device holds.
  LoadedModel load_on(const char* device, LoadOptions how) {
    how.device_map = parse_device_map(device, "cuda");
    LoadedModel loaded = load_model(plugins(), how);
    EXPECT_FALSE(loaded.context->plugin_modules().empty());
    for (const auto& module : loaded.context->plugin_modules())
      EXPECT_EQ(module->exec().device(), device);
    save_model(loaded, folder_ / device);
    return loaded;
  }
  LoadOptions quantizing() {
    LoadOptions how = options(kGoldens / "llama");
    how.quantization = user_quantization(GetParam().method, GetParam().settings);
    return how;
  }
  void expect_same_bytes(const fs::path& a, const fs::path& b) {
    for (const char* file : {"model.safetensors", "config.json"})
      EXPECT_EQ(read_text_file(a / file), read_text_file(b / file)) << a << " " << file;
  }
};

TEST_P(EmulatedQuantization, GivesTheWeightsOfTheCpu) {
  LoadedModel here = load_on("cpu", quantizing());
  const at::Tensor wanted = output_of(here, "llama");
  for (const char* device : {"emulated:0", "emulated:1"}) {
    load_on(device, quantizing());
    if (GetParam().same_bytes) expect_same_bytes(folder_ / device, folder_ / "cpu");
    LoadedModel moved = load_model(plugins(), options(folder_ / device));
    EXPECT_LT(relative_error(output_of(moved, "llama"), wanted), 1e-5) << device;
  }
}

TEST_P(EmulatedQuantization, LoadsWhatIsQuantizedAlready) {
  const fs::path stored = folder_ / "stored";
  {
    LoadedModel quantized = load_model(plugins(), quantizing());
    save_model(quantized, stored);
  }
  LoadedModel here = load_on("cpu", options(stored));
  const at::Tensor wanted = output_of(here, "llama");
  for (const char* device : {"emulated:0", "emulated:1"}) {
    LoadedModel there = load_on(device, options(stored));
    EXPECT_TRUE(there.quantizer->pre_quantized());
    expect_same_bytes(folder_ / device, stored);
    EXPECT_LT(relative_error(output_of(there, "llama"), wanted), 1e-4) << device;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Backends, EmulatedQuantization,
    testing::Values(Quantization{"NF4", "bitsandbytes_4bit", {"bnb_4bit_quant_type=nf4"}},
                    Quantization{"NF4DoubleQuant",
                                 "bitsandbytes_4bit",
                                 {"bnb_4bit_quant_type=nf4", "bnb_4bit_use_double_quant=true"},
                                 false},
                    Quantization{"FP4", "bitsandbytes_4bit", {"bnb_4bit_quant_type=fp4"}, false},
                    Quantization{"FP4DoubleQuant",
                                 "bitsandbytes_4bit",
                                 {"bnb_4bit_quant_type=fp4", "bnb_4bit_use_double_quant=true"},
                                 false},
                    Quantization{"QuantoInt8", "quanto", {"weights=int8"}},
                    Quantization{"QuantoInt4", "quanto", {"weights=int4"}},
                    Quantization{"QuantoInt2", "quanto", {"weights=int2"}},
                    Quantization{"QuantoFloat8", "quanto", {"weights=float8"}}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace quanthost

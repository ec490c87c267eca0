// Models on the emulated GPUs: warps of 32 lanes on the first, of 64 on the second, and how much of
// their memory is taken.
#pragma once

#include <atomic>

#include "host/load/devices.hpp"
#include "tests/load/load_fixture.hpp"

namespace quanthost {

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

}  // namespace quanthost

// The emulated GPUs: host memory, and streams that tell a kernel its warp size, seed and threads.
#include <cstdlib>
#include <mutex>
#include <string>

#include "host/devices/host_memory.hpp"
#include "host/devices/providers.hpp"
#include "quanthost/kernel/emulated_stream.h"

namespace quanthost {
namespace {

constexpr std::uint32_t kWarpSizes[] = {32, 64};

struct ParallelFor {
  decltype(qh_emulated_stream::parallel_for) run = nullptr;
  void* context = nullptr;
};
std::mutex parallel_for_mutex;
ParallelFor parallel_for_of_host;  // guarded by the mutex above

std::uint64_t seed() {
  const char* text = std::getenv("QUANTHOST_EMULATOR_SEED");
  return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}

DeviceInfo emulated_info(int index) {
  const HostMemoryInfo memory = host_memory();
  DeviceInfo info;
  info.kind = "emulated";
  info.index = index;
  info.warp_size = kWarpSizes[index];
  info.model = "GPU emulated on the CPU, for tests";
  info.capability = "warps of " + std::to_string(info.warp_size);
  info.memory_total_bytes = memory.total_bytes;
  info.memory_free_bytes = memory.free_bytes;
  return info;
}

class EmulatedDevice : public HostMemoryDevice {
 public:
  explicit EmulatedDevice(int index)
      : HostMemoryDevice("emulated:" + std::to_string(index)),
        index_(index),
        default_stream_(make_stream()) {}

  DeviceInfo info() const override { return emulated_info(index_); }
  void* default_stream() const override {
    return const_cast<qh_emulated_stream*>(&default_stream_);
  }
  void* create_stream() override { return new qh_emulated_stream(make_stream()); }
  void destroy_stream(void* stream) noexcept override {
    delete static_cast<qh_emulated_stream*>(stream);
  }

 private:
  qh_emulated_stream make_stream() const {
    const std::lock_guard lock(parallel_for_mutex);
    const ParallelFor& parallel_for = parallel_for_of_host;
    return {sizeof(qh_emulated_stream), kWarpSizes[index_],  seed(), 0, 0,
            parallel_for.run,           parallel_for.context};
  }

  int index_;
  qh_emulated_stream default_stream_;
};

class EmulatedProvider : public DeviceProvider {
 public:
  std::string kind() const override { return "emulated"; }
  std::vector<DeviceInfo> list() override { return {emulated_info(0), emulated_info(1)}; }
  std::unique_ptr<Device> open(int index) override {
    return std::make_unique<EmulatedDevice>(index);
  }
};

}  // namespace

std::unique_ptr<DeviceProvider> make_emulated_provider() {
  return std::make_unique<EmulatedProvider>();
}

void set_emulator_parallel_for(void (*run)(void*, std::uint64_t, void (*)(void*, std::uint64_t),
                                           void*),
                               void* context) {
  const std::lock_guard lock(parallel_for_mutex);
  parallel_for_of_host = ParallelFor{run, context};
}

}  // namespace quanthost

// AMD GPUs through the HIP runtime, opened while the program runs, so that the host is tied to no
// version of ROCm.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "host/devices/driver_device.hpp"
#include "host/devices/hip_runtime.hpp"
#include "host/devices/kfd_topology.hpp"
#include "host/devices/providers.hpp"

namespace quanthost {
namespace {

int native(CopyKind kind) {
  switch (kind) {
    case CopyKind::kToDevice:
      return 1;
    case CopyKind::kToHost:
      return 2;
    case CopyKind::kWithinDevice:
      return 3;
  }
  return 4;  // the runtime finds out
}

// hipFree waits for the device, so memory is never released under queued work.
class HipAllocator : public DeviceAllocator {
 public:
  HipAllocator(const HipRuntime& runtime, int index) : runtime_(runtime), index_(index) {}

  void* allocate(std::size_t bytes, void*) override {
    const HipRuntime::Current current(runtime_, index_);
    void* memory = nullptr;
    runtime_.check(runtime_.allocate(&memory, bytes == 0 ? 1 : bytes),
                   fmt::format("allocating {} bytes of HIP memory", bytes).c_str());
    return memory;
  }
  void release(void* memory, void*) noexcept override { runtime_.release(memory); }

 private:
  const HipRuntime& runtime_;
  int index_;
};

class HipDevice : public DriverDevice<HipRuntime, int> {
 public:
  HipDevice(const HipRuntime& runtime, const DeviceInfo& info)
      : DriverDevice(runtime, info, info.index,
                     std::make_shared<HipAllocator>(runtime, info.index)) {}

  void release_pinned(void* memory) noexcept override { driver_.release_host(memory); }

  void copy(CopyKind kind, void* target, const void* source, std::size_t bytes,
            void* stream) override {
    if (bytes == 0) return;
    run([&] { return driver_.copy(target, source, bytes, native(kind), stream); },
        "copying memory");
  }
  void fill(void* target, int byte, std::size_t bytes, void* stream) override {
    if (bytes == 0) return;
    run([&] { return driver_.fill(target, byte, bytes, stream); }, "filling memory");
  }
};

class HipProvider : public DeviceProvider {
 public:
  explicit HipProvider(HipPaths paths) : paths_(std::move(paths)) {}

  std::string kind() const override { return "hip"; }

  std::vector<DeviceInfo> list() override {
    try {
      return list_or_throw();
    } catch (const Error& error) {
      DeviceInfo absent;
      absent.kind = kind();
      absent.reason = error.message();
      return {absent};
    }
  }

  std::unique_ptr<Device> open(int index) override {
    const HipRuntime& runtime = opened_runtime();
    return std::make_unique<HipDevice>(runtime, describe(runtime, index));
  }

 private:
  // Opened once: a runtime that was absent stays so for this process.
  const HipRuntime& opened_runtime() {
    if (failure_) throw Error(*failure_);
    try {
      if (!runtime_) runtime_.emplace(paths_.libraries);
    } catch (const Error& error) {
      failure_ = error;
      throw;
    }
    return *runtime_;
  }

  std::vector<DeviceInfo> list_or_throw() {
    const HipRuntime& runtime = opened_runtime();
    int count = 0;
    const HipRuntime::Result result = runtime.device_count(&count);
    if (result == HipRuntime::kNoDevice || (result == 0 && count == 0)) refuse_without_device();
    runtime.check(result, "counting the HIP devices");
    std::vector<DeviceInfo> all;
    all.reserve(static_cast<std::size_t>(count));
    for (int index = 0; index < count; ++index) all.push_back(describe(runtime, index));
    return all;
  }

  // The runtime says "no device" when the kernel's driver is missing or closed to this user, too.
  [[noreturn]] void refuse_without_device() const {
    if (access(paths_.driver.c_str(), R_OK | W_OK) != 0) {
      fail(ErrorKind::kRuntime, "no AMD GPU driver: {}: {}", paths_.driver, std::strerror(errno));
    }
    fail(ErrorKind::kRuntime,
         "the HIP runtime shows no device (HIP_VISIBLE_DEVICES may hide them)");
  }

  DeviceInfo describe(const HipRuntime& runtime, int index) const {
    char name[256] = {};
    runtime.check(runtime.device_name(name, sizeof name - 1, index),
                  "asking for the name of a HIP device");
    std::size_t total = 0;
    runtime.check(runtime.device_total_memory(&total, index),
                  "asking for the memory of a HIP device");
    char address[64] = {};
    runtime.check(runtime.pci_bus_id(address, sizeof address - 1, index),
                  "asking for the address of a HIP device");
    DeviceInfo info;
    info.kind = "hip";
    info.index = index;
    info.model = name;
    info.memory_total_bytes = total;
    info.memory_free_bytes = total;
    if (const std::optional<KfdNode> node = find_kfd_node(paths_.topology, address)) {
      info.capability = node->target;
      info.warp_size = node->wavefront_size;
    }
    return info;
  }

  HipPaths paths_;
  std::optional<HipRuntime> runtime_;
  std::optional<Error> failure_;
};

}  // namespace

std::unique_ptr<DeviceProvider> make_hip_provider(HipPaths paths) {
  return std::make_unique<HipProvider>(std::move(paths));
}

}  // namespace quanthost

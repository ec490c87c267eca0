// NVIDIA GPUs through the driver's own API, so that the host links no CUDA library.
#include <bit>
#include <optional>

#include "host/devices/cuda_driver.hpp"
#include "host/devices/driver_device.hpp"
#include "host/devices/providers.hpp"

namespace quanthost {
namespace {

using Pointer = CudaDriver::Pointer;

constexpr int kComputeCapabilityMajor = 75;  // CUdevice_attribute
constexpr int kComputeCapabilityMinor = 76;
constexpr int kMemoryPoolsSupported = 115;

// Device memory in the order of the stream, where the driver has memory pools.
class CudaAllocator : public DeviceAllocator {
 public:
  CudaAllocator(const CudaDriver& driver, void* context, bool has_pools)
      : driver_(driver), context_(context), has_pools_(has_pools) {}

  void* allocate(std::size_t bytes, void* stream) override {
    const CudaDriver::Current current(driver_, context_);
    const std::size_t at_least_one = bytes == 0 ? 1 : bytes;
    Pointer memory = 0;
    const CudaDriver::Result result =
        has_pools_ ? driver_.allocate_on_stream(&memory, at_least_one, stream)
                   : driver_.allocate(&memory, at_least_one);
    driver_.check(result, fmt::format("allocating {} bytes of CUDA memory", bytes).c_str());
    return std::bit_cast<void*>(memory);
  }

  void release(void* memory, void* stream) noexcept override {
    if (memory == nullptr) return;
    driver_.push_context(context_);
    const auto pointer = reinterpret_cast<Pointer>(memory);
    if (has_pools_) {
      driver_.release_on_stream(pointer, stream);
    } else {
      driver_.wait_for_stream(stream);
      driver_.release(pointer);
    }
    void* popped = nullptr;
    driver_.pop_context(&popped);
  }

 private:
  const CudaDriver& driver_;
  void* context_;
  bool has_pools_;
};

class CudaDevice : public DriverDevice<CudaDriver, void*> {
 public:
  CudaDevice(const CudaDriver& driver, DeviceInfo info, void* context, bool has_pools)
      : DriverDevice(driver, std::move(info), context,
                     std::make_shared<CudaAllocator>(driver, context, has_pools)),
        context_(context) {}

  void release_pinned(void* memory) noexcept override {
    if (memory == nullptr) return;
    driver_.push_context(context_);
    driver_.release_host(memory);
    void* popped = nullptr;
    driver_.pop_context(&popped);
  }

  // Addresses are unified: the driver sees from the pointers which way it goes.
  void copy(CopyKind, void* target, const void* source, std::size_t bytes, void* stream) override {
    if (bytes == 0) return;
    run(
        [&] {
          return driver_.copy(reinterpret_cast<Pointer>(target), reinterpret_cast<Pointer>(source),
                              bytes, stream);
        },
        "copying memory");
  }
  void fill(void* target, int byte, std::size_t bytes, void* stream) override {
    if (bytes == 0) return;
    run(
        [&] {
          return driver_.fill(reinterpret_cast<Pointer>(target), static_cast<unsigned char>(byte),
                              bytes, stream);
        },
        "filling memory");
  }

 private:
  void* context_;
};

class CudaProvider : public DeviceProvider {
 public:
  explicit CudaProvider(std::string library) : library_(std::move(library)) {}

  std::string kind() const override { return "cuda"; }

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
    const CudaDriver& driver = opened_driver();
    const CudaDriver::DeviceHandle handle = handle_of(driver, index);
    void* context = nullptr;
    driver.check(driver.retain_primary_context(&context, handle),
                 "making the context of a CUDA device");
    return std::make_unique<CudaDevice>(driver, describe(driver, index), context,
                                        attribute(driver, kMemoryPoolsSupported, handle) != 0);
  }

 private:
  // Opened once: a driver that was absent stays so for this process.
  const CudaDriver& opened_driver() {
    if (failure_) throw Error(*failure_);
    try {
      if (!driver_) driver_.emplace(library_);
    } catch (const Error& error) {
      failure_ = error;
      throw;
    }
    return *driver_;
  }

  std::vector<DeviceInfo> list_or_throw() {
    const CudaDriver& driver = opened_driver();
    int count = 0;
    driver.check(driver.device_count(&count), "counting the CUDA devices");
    if (count == 0)
      fail(ErrorKind::kRuntime,
           "the CUDA driver shows no device (CUDA_VISIBLE_DEVICES may hide them)");
    std::vector<DeviceInfo> all;
    all.reserve(static_cast<std::size_t>(count));
    for (int index = 0; index < count; ++index) all.push_back(describe(driver, index));
    return all;
  }

  static CudaDriver::DeviceHandle handle_of(const CudaDriver& driver, int index) {
    CudaDriver::DeviceHandle handle = 0;
    driver.check(driver.device_get(&handle, index), "opening a CUDA device");
    return handle;
  }
  static int attribute(const CudaDriver& driver, int which, CudaDriver::DeviceHandle handle) {
    int value = 0;
    driver.check(driver.device_attribute(&value, which, handle),
                 "asking for an attribute of a CUDA device");
    return value;
  }

  // Asks for no context, which costs hundreds of megabytes: the free memory stays that of the whole
  // device.
  static DeviceInfo describe(const CudaDriver& driver, int index) {
    const CudaDriver::DeviceHandle handle = handle_of(driver, index);
    char name[256] = {};
    driver.check(driver.device_name(name, sizeof name - 1, handle),
                 "asking for the name of a CUDA device");
    std::size_t total = 0;
    driver.check(driver.device_total_memory(&total, handle),
                 "asking for the memory of a CUDA device");
    DeviceInfo info;
    info.kind = "cuda";
    info.index = index;
    info.model = name;
    info.capability = fmt::format("sm_{}{}", attribute(driver, kComputeCapabilityMajor, handle),
                                  attribute(driver, kComputeCapabilityMinor, handle));
    info.warp_size = 32;
    info.memory_total_bytes = total;
    info.memory_free_bytes = total;
    return info;
  }

  std::string library_;
  std::optional<CudaDriver> driver_;
  std::optional<Error> failure_;
};

}  // namespace

std::unique_ptr<DeviceProvider> make_cuda_provider(std::string library) {
  return std::make_unique<CudaProvider>(std::move(library));
}

}  // namespace quanthost

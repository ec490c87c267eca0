#include "host/load/devices.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <filesystem>
#include <mutex>
#include <set>

#include "host/base/error.hpp"
#include "host/devices/host_memory.hpp"
#include "host/devices/providers.hpp"

namespace quanthost {
namespace {

// LibTorch looks for its CUDA hooks once, so the library has to be there before the first question.
// Empty: CUDA can be used.
const std::string& why_no_cuda() {
  static const std::string reason = []() -> std::string {
    if (!dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL))
      return std::string("no CUDA driver: ") + dlerror();
    Dl_info here{};
    if (!dladdr(reinterpret_cast<void*>(&at::globalContext), &here))
      return "LibTorch's own folder is unknown";
    const auto library = std::filesystem::path(here.dli_fname).parent_path() / "libtorch_cuda.so";
    if (!dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL))
      return std::string("LibTorch has no CUDA library: ") + dlerror();
    return at::detail::getCUDAHooks().deviceCount() > 0 ? "" : "the CUDA driver sees no device";
  }();
  return reason;
}

// LibTorch's caching allocator of an accelerator. Its memory follows the stream that is current
// there.
class TorchAllocator : public DeviceAllocator {
 public:
  explicit TorchAllocator(at::Device device) : device_(device) {}

  void* allocate(std::size_t bytes, void*) override {
    const c10::impl::VirtualGuardImpl guard(device_.type());
    const at::Device before = guard.exchangeDevice(device_);
    try {
      void* const memory = c10::GetAllocator(device_.type())->raw_allocate(bytes);
      guard.uncheckedSetDevice(before);
      return memory;
    } catch (const std::exception& e) {
      guard.uncheckedSetDevice(before);
      fail(ErrorKind::kMemory, "{}: {} bytes could not be allocated: {}", device_.str(), bytes,
           e.what());
    }
  }
  void release(void* memory, void*) noexcept override {
    c10::GetAllocator(device_.type())->raw_deallocate(memory);
  }

 private:
  at::Device device_;
};

void run_on_torch_threads(void*, std::uint64_t count, void (*body)(void*, std::uint64_t),
                          void* argument) {
  at::parallel_for(0, static_cast<std::int64_t>(count), 1,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i)
                       body(argument, static_cast<std::uint64_t>(i));
                   });
}

at::Device cuda_memory(const Device& device) {
  if (!why_no_cuda().empty())
    fail(ErrorKind::kRuntime, "device {} cannot be used: {}", device.name(), why_no_cuda());
  return {at::kCUDA, static_cast<at::DeviceIndex>(device.info().index)};
}

}  // namespace

std::string_view device_kind(std::string_view device) { return device.substr(0, device.find(':')); }

Device& compute_device(std::string_view name) {
  static std::mutex mutex;
  static std::set<std::string> prepared;
  const std::lock_guard lock(mutex);
  if (prepared.empty()) set_emulator_parallel_for(run_on_torch_threads, nullptr);
  Device& device = devices().open(name);
  if (prepared.insert(device.name()).second && device_kind(device.name()) == "cuda")
    device.set_allocator(std::make_shared<TorchAllocator>(cuda_memory(device)));
  return device;
}

at::Device memory_device(std::string_view name) {
  if (name == "disk") return at::kCPU;
  const Device& device = compute_device(name);
  const std::string_view kind = device_kind(device.name());
  if (kind == "cuda") return cuda_memory(device);
  if (!device.uses_host_memory()) {
    throw Error(
        ErrorKind::kRuntime,
        fmt::format("device {} cannot hold tensors here: LibTorch has no such device", name),
        "use cpu, or cuda:N where there is one");
  }
  return at::kCPU;
}

std::vector<std::string> usable_devices() {
  std::vector<std::string> devices;
  if (why_no_cuda().empty()) {
    for (int i = 0; i < at::detail::getCUDAHooks().deviceCount(); ++i)
      devices.push_back(fmt::format("cuda:{}", i));
  }
  devices.push_back("cpu");
  return devices;
}

std::string default_accelerator() { return "cuda"; }

double free_bytes(std::string_view device) {
  return static_cast<double>(compute_device(device).info().memory_free_bytes);
}

}  // namespace quanthost

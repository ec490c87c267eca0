#include "host/load/devices.hpp"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <dlfcn.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "host/base/error.hpp"

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

int index_of(std::string_view device) {
  const auto colon = device.find(':');
  if (colon == std::string_view::npos) return 0;
  int index = -1;
  const std::string_view digits = device.substr(colon + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  if (error != std::errc{} || end != digits.data() + digits.size() || index < 0 || index > 127) {
    fail(ErrorKind::kValue, "device \"{}\" has no usable index", device);
  }
  return index;
}

double meminfo_bytes(std::string_view key) {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  double kib = 0;
  while (file >> name >> kib) {
    std::getline(file, unit);
    if (name == key) return kib * 1024;
  }
  return 0;
}

double number_in(const char* path) {
  std::ifstream file(path);
  double value = -1;
  return file >> value ? value : -1;
}

// What the machine has left, and what the control group of this process lets it take.
double free_host_bytes() {
  double available = meminfo_bytes("MemAvailable:");
  const double limit = number_in("/sys/fs/cgroup/memory.max");
  const double used = number_in("/sys/fs/cgroup/memory.current");
  if (limit > 0 && used >= 0) available = std::min(available, std::max(0.0, limit - used));
  return available;
}

}  // namespace

std::string_view device_kind(std::string_view device) { return device.substr(0, device.find(':')); }

at::Device memory_device(std::string_view device) {
  const std::string_view kind = device_kind(device);
  if (kind == "cpu" || kind == "disk" || kind == "emulated") return at::kCPU;
  const int index = index_of(device);
  if (kind != "cuda") {
    throw Error(
        ErrorKind::kRuntime,
        fmt::format("device {} cannot hold tensors here: LibTorch has no such device", device),
        "use cpu, or cuda:N where there is one");
  }
  if (!why_no_cuda().empty())
    throw Error(ErrorKind::kRuntime,
                fmt::format("device {} is not there: {}", device, why_no_cuda()));
  const int count = at::detail::getCUDAHooks().deviceCount();
  if (index >= count)
    fail(ErrorKind::kRuntime, "device {} is not there: CUDA sees {} devices", device, count);
  return {at::kCUDA, static_cast<at::DeviceIndex>(index)};
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
  if (device_kind(device) != "cuda") return free_host_bytes();
  const auto [free, total] =
      c10::getDeviceAllocator(at::kCUDA)->getMemoryInfo(memory_device(device).index());
  return static_cast<double>(free);
}

}  // namespace quanthost

// The CPU as a device.
#include <fstream>
#include <string>

#include "host/devices/host_memory.hpp"
#include "host/devices/providers.hpp"

namespace quanthost {
namespace {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos)
      return line.substr(colon + 2);
  }
  return "CPU";
}

// The instruction sets that the CPU kernels choose between, as far as this machine has them.
std::string instruction_sets() {
  std::string names;
  const auto add = [&](bool has, const char* name) {
    if (!has) return;
    if (!names.empty()) names += ' ';
    names += name;
  };
#if defined(__x86_64__)
  add(__builtin_cpu_supports("avx2"), "avx2");
  add(__builtin_cpu_supports("fma"), "fma");
  add(__builtin_cpu_supports("avx512f"), "avx512f");
  add(__builtin_cpu_supports("avx512bw"), "avx512bw");
  add(__builtin_cpu_supports("avx512vbmi"), "avx512vbmi");
  add(__builtin_cpu_supports("avx512vnni"), "avx512vnni");
  add(__builtin_cpu_supports("avx512bf16"), "avx512bf16");
#endif
  return names;
}

DeviceInfo cpu_info() {
  const HostMemoryInfo memory = host_memory();
  DeviceInfo info;
  info.kind = "cpu";
  info.model = cpu_model();
  info.capability = instruction_sets();
  info.memory_total_bytes = memory.total_bytes;
  info.memory_free_bytes = memory.free_bytes;
  return info;
}

class CpuDevice : public HostMemoryDevice {
 public:
  CpuDevice() : HostMemoryDevice("cpu") {}
  DeviceInfo info() const override { return cpu_info(); }
};

class CpuProvider : public DeviceProvider {
 public:
  std::string kind() const override { return "cpu"; }
  std::vector<DeviceInfo> list() override { return {cpu_info()}; }
  std::unique_ptr<Device> open(int) override { return std::make_unique<CpuDevice>(); }
};

}  // namespace

std::unique_ptr<DeviceProvider> make_cpu_provider() { return std::make_unique<CpuProvider>(); }

}  // namespace quanthost

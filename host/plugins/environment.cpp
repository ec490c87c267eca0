#include "host/plugins/environment.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <utility>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

enum class Support { kYes, kNo, kUnknownName };

#if defined(__x86_64__)
#define QH_CPU_FEATURE(name) \
  if (feature == (name)) return __builtin_cpu_supports(name) ? Support::kYes : Support::kNo;
Support cpu_supports(std::string_view feature) {
  QH_CPU_FEATURE("sse4.2")
  QH_CPU_FEATURE("avx")
  QH_CPU_FEATURE("avx2")
  QH_CPU_FEATURE("fma")
  QH_CPU_FEATURE("bmi2")
  QH_CPU_FEATURE("avx512f")
  QH_CPU_FEATURE("avx512bw")
  QH_CPU_FEATURE("avx512dq")
  QH_CPU_FEATURE("avx512vl")
  QH_CPU_FEATURE("avx512vbmi")
  QH_CPU_FEATURE("avx512vnni")
  QH_CPU_FEATURE("avx512bf16")
  return Support::kUnknownName;
}
#undef QH_CPU_FEATURE
#else
Support cpu_supports(std::string_view) { return Support::kUnknownName; }
#endif

// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  …"
std::optional<Version> nvidia_driver_version() {
  std::ifstream file("/proc/driver/nvidia/version");
  for (std::string word; file >> word;) {
    if (word.find('.') != word.npos && Version::is_valid(word)) return Version::parse(word);
  }
  return std::nullopt;
}

std::optional<Version> rocm_version() {
  std::ifstream file("/opt/rocm/.info/version");
  std::string text;
  if (!(file >> text)) return std::nullopt;
  text = text.substr(0, text.find('-'));
  return Version::is_valid(text) ? std::optional(Version::parse(text)) : std::nullopt;
}

}  // namespace

std::optional<Version> cuda_version_of_driver(const Version& driver) {
  // Release branch of the driver -> the CUDA release it came with.
  static const std::array<std::pair<const char*, const char*>, 13> kBranches{{{"580", "13.0"},
                                                                              {"575", "12.9"},
                                                                              {"570", "12.8"},
                                                                              {"565", "12.7"},
                                                                              {"560", "12.6"},
                                                                              {"555", "12.5"},
                                                                              {"550", "12.4"},
                                                                              {"545", "12.3"},
                                                                              {"535", "12.2"},
                                                                              {"530", "12.1"},
                                                                              {"525", "12.0"},
                                                                              {"520", "11.8"},
                                                                              {"450", "11.0"}}};
  for (const auto& [branch, cuda] : kBranches) {
    if (driver >= Version::parse(branch)) return Version::parse(cuda);
  }
  return std::nullopt;
}

Environment::Environment(const LibrarySearch& libraries) : libraries_(libraries) {}

std::string Environment::cuda_obstacle(const RuntimeNeed& need) const {
  if (!need.needed) return {};
  if (!libraries_.find("libcuda.so.1", {}, {}))
    return "needs an NVIDIA driver: libcuda.so.1 is not installed";
  const auto driver = nvidia_driver_version();
  if (!driver) return "needs an NVIDIA driver: its kernel module is not loaded";
  const auto cuda = cuda_version_of_driver(*driver);
  if (need.versions.empty() || (cuda && need.versions.allows(*cuda))) return {};
  return fmt::format("needs CUDA {}; the NVIDIA driver {} has CUDA {}", need.versions.text(),
                     driver->text(), cuda ? cuda->text() : "older than 11.0");
}

std::string Environment::hip_obstacle(const RuntimeNeed& need) const {
  if (!need.needed) return {};
  std::error_code error;
  if (!std::filesystem::exists("/dev/kfd", error))
    return "needs an AMD GPU with its driver: /dev/kfd does not exist";
  if (need.versions.empty()) return {};
  const auto rocm = rocm_version();
  if (rocm && need.versions.allows(*rocm)) return {};
  return fmt::format("needs ROCm {}; found {}", need.versions.text(),
                     rocm ? rocm->text() : "none in /opt/rocm");
}

std::string Environment::obstacle(const Manifest& manifest) const {
  for (const std::string& feature : manifest.cpu_features) {
    switch (cpu_supports(feature)) {
      case Support::kYes:
        break;
      case Support::kNo:
        return fmt::format("needs the CPU feature {}, which this CPU does not have", feature);
      case Support::kUnknownName:
        return fmt::format("needs the CPU feature {}, which this host does not know", feature);
    }
  }
  if (std::string reason = cuda_obstacle(manifest.cuda); !reason.empty()) return reason;
  return hip_obstacle(manifest.hip);
}

}  // namespace quanthost

// qh_gptq_cpu: the package `auto_gptq` for the CPU.
#include <map>
#include <mutex>

#include "package/cpu_package.hpp"

namespace quanthost::gptq {

namespace {

// One package for each host of the process; lives as long as the library, which is never unloaded.
CpuPackage& package_of(const qh::Host& host) {
  static std::mutex lock;
  static std::map<qh_host*, CpuPackage> packages;
  const std::lock_guard guard(lock);
  return packages.try_emplace(host.handle(), CpuPackage{host, kernels_for(cpu::best_isa())})
      .first->second;
}

}  // namespace

class CpuPlugin final : public qh::Plugin {
 public:
  using qh::Plugin::Plugin;

  std::vector<qh::PackageEntry> packages() const override {
    return {{"auto_gptq", "0.7.1", "cpu", QH_GPTQ_KERNELS_ID,
             [](const qh::Host& host, qh_package** self) -> const void* {
               *self = reinterpret_cast<qh_package*>(&package_of(host));
               return &cpu_package_table();
             }}};
  }
};

}  // namespace quanthost::gptq

QH_PLUGIN(quanthost::gptq::CpuPlugin)

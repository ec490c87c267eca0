// Finds the kernel tables of a session.
#include "plugins/bnb4/quantizer/kernel_set.hpp"

namespace quanthost::bnb4 {

std::string_view kind_of(std::string_view device) { return device.substr(0, device.find(':')); }

void KernelSet::add(const qh::Host& host, qh_session* session,
                    const std::vector<std::string>& devices) {
  const qh_packages_api& packages = host.need(host.packages, QH_PACKAGES_ID);
  for (const std::string& device : devices) {
    const std::string_view kind = kind_of(device);
    if (has(kind)) continue;
    const void* table = nullptr;
    qh_package* package = nullptr;
    const qh_status status =
        packages.table(session, qh::to_abi("bitsandbytes"), qh::to_abi(QH_BNB4_KERNELS_ID),
                       qh::to_abi(kind), &table, &package);
    if (status == QH_OK) {
      kernels_.push_back({std::string(kind), static_cast<const qh_bnb4_kernels*>(table), package});
    }
  }
}

const Kernels& KernelSet::need(std::string_view device_kind) const {
  if (const Kernels* found = find(device_kind)) return *found;
  std::string have;
  for (const Kernels& kernels : kernels_) have += (have.empty() ? "" : ", ") + kernels.device_kind;
  throw qh::Error(QH_ERR_RUNTIME,
                  "bitsandbytes has no kernels for the device '" + std::string(device_kind) +
                      "' in this session",
                  have.empty() ? "install a plugin that provides bitsandbytes for it"
                               : "kernels are there for: " + have);
}

const Kernels* KernelSet::find(std::string_view device_kind) const {
  for (const Kernels& kernels : kernels_) {
    if (kernels.device_kind == device_kind) return &kernels;
  }
  return nullptr;
}

}  // namespace quanthost::bnb4

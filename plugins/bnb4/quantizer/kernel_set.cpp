// Finds the kernel tables of a session.
#include "plugins/bnb4/quantizer/kernel_set.hpp"

namespace quanthost::bnb4 {

namespace {

bool is_complete(const qh_bnb4_kernels& table) {
  return table.quantize_4bit && table.dequantize_4bit && table.quantize_scales && table.forward;
}

}  // namespace

std::string_view kind_of(std::string_view device) { return device.substr(0, device.find(':')); }

void KernelSet::add(const qh::Host& host, qh_session* session,
                    const std::vector<std::string>& devices) {
  if (!packages_) packages_.emplace(host, session, "bitsandbytes", QH_BNB4_KERNELS_ID, is_complete);
  for (const std::string& device : devices) {
    const std::string_view kind = kind_of(device);
    if (has(kind)) continue;
    try {
      const auto& found = packages_->for_device(kind);
      kernels_.push_back({std::string(kind), found.table, found.self});
    } catch (const qh::HostFailure&) {
      // No provider for this kind in the session; a device without kernels fails where it is used.
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

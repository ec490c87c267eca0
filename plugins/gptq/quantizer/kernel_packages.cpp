// Asks the host for kernel packages, once for each kind of device.
#include "quantizer/kernel_packages.hpp"

namespace quanthost::gptq {

const KernelPackage& KernelPackages::for_device(std::string_view kind) {
  const std::lock_guard guard(lock_);
  const auto found = packages_.find(kind);
  if (found != packages_.end()) return found->second;
  const void* table = nullptr;
  qh_package* self = nullptr;
  qh::check(host_.need(host_.packages, QH_PACKAGES_ID)
                .table(session_, qh::to_abi("auto_gptq"), qh::to_abi(QH_GPTQ_KERNELS_ID),
                       qh::to_abi(kind), &table, &self));
  const KernelPackage package{qh::copy_sized(static_cast<const qh_gptq_kernels*>(table)), self};
  if (!package.table.sort_rows || !package.table.dequantize || !package.table.forward)
    throw qh::Error(QH_ERR_RUNTIME,
                    "the package `auto_gptq` for " + std::string(kind) +
                        " leaves out functions of " QH_GPTQ_KERNELS_ID,
                    "update the plugin that provides it");
  return packages_.emplace(kind, package).first->second;
}

}  // namespace quanthost::gptq

// The `auto_gptq` packages of one session.
#pragma once

#include <quanthost/packages/gptq_kernels.h>

#include <quanthost/plugin/kernel_packages.hpp>

namespace quanthost::gptq {

using KernelPackage = qh::KernelPackage<qh_gptq_kernels>;

class KernelPackages : public qh::KernelPackages<qh_gptq_kernels> {
 public:
  KernelPackages(const qh::Host& host, qh_session* session)
      : qh::KernelPackages<qh_gptq_kernels>(
            host, session, "auto_gptq", QH_GPTQ_KERNELS_ID, [](const qh_gptq_kernels& table) {
              return table.sort_rows && table.dequantize && table.forward;
            }) {}
};

}  // namespace quanthost::gptq

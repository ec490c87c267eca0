// The `quanto` packages of one session.
#pragma once

#include <quanthost/packages/quanto_kernels.h>

#include <quanthost/plugin/kernel_packages.hpp>

namespace quanthost::quanto {

using KernelPackage = qh::KernelPackage<qh_quanto_kernels>;

class KernelPackages : public qh::KernelPackages<qh_quanto_kernels> {
 public:
  KernelPackages(const qh::Host& host, qh_session* session)
      : qh::KernelPackages<qh_quanto_kernels>(
            host, session, "quanto", QH_QUANTO_KERNELS_ID, [](const qh_quanto_kernels& table) {
              return table.layout && table.quantize && table.dequantize && table.linear;
            }) {}
};

}  // namespace quanthost::quanto

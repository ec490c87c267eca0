// The CPU kernel package: the functions of qh.gptq.kernels/1 over one instruction set's kernels.
#pragma once

#include <quanthost/packages/gptq_kernels.h>

#include <quanthost/plugin.hpp>

#include "cpu/kernels.hpp"

namespace quanthost::gptq {

// What a qh_package of ours points to.
struct CpuPackage {
  qh::Host host;
  const Kernels& kernels;
};

const qh_gptq_kernels& cpu_package_table();

}  // namespace quanthost::gptq

// The column sweep on exec's device, by its kernel package.
#pragma once

#include <quanthost/plugin/host.hpp>

#include "algorithm/solver.hpp"
#include "quantizer/kernel_packages.hpp"

namespace quanthost::gptq {

// Whether the package has what the sweep needs; where not, quantize_layer does it.
bool can_sweep(const KernelPackage&);

// The codes, scales and zeros that quantize_layer gives.
QuantizedLayer quantize_on_device(const qh::Exec&, const KernelPackage&,
                                  std::span<const float> weight, std::int64_t rows,
                                  const PreparedHessian&, const SolverOptions&);

}  // namespace quanthost::gptq

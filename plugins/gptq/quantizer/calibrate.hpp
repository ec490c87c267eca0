// Quantizing a loaded model block by block: GPTQ with calibration data.
#pragma once

#include <quanthost/plugin/model.hpp>
#include <string>

#include "quantizer/kernel_packages.hpp"
#include "quantizer/options.hpp"

namespace quanthost::gptq {

// Puts QuantLinear in the place of every layer that is quantized, and returns the report: JSON of
// the schema "quanthost.gptq-report/1". Blocks that the journal holds are taken from there.
std::string calibrate(const qh::Exec&, qh_session*, qh::Model&, const Options&, KernelPackages&);

}  // namespace quanthost::gptq

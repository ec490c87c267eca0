// HQQ: refines the shift of an affine weight so that the dequantized values come closer in the
// p-norm.
#pragma once

#include <functional>
#include <quanthost/plugin/host.hpp>

#include "cpu/kernels.hpp"

namespace quanthost::quanto {

// Quantizes `base` into the unpacked matrix with the scale and shift it holds.
using Requantize = std::function<void(const Matrix&)>;

// `matrix` is unpacked, affine, with a float shift, and holds the min-max optimizer's scale and
// shift; on return it holds the refined shift. optimum-quanto's settings: p 0.7, beta 10,
// kappa 1.01, at most 20 steps.
void refine_shift(const qh::Exec&, const void* base, const Matrix& matrix, const Requantize&);

}  // namespace quanthost::quanto

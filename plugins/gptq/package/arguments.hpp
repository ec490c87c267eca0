// Checks of everything that reaches the kernel package.
#pragma once

#include <quanthost/packages/gptq_kernels.h>

#include "cpu/kernels.hpp"

namespace quanthost::gptq {

FloatType float_type(qh_dtype dtype, const char* what);

// The weight with its sizes, pointers, group index and input order checked.
Matrix checked_weight(const qh_gptq_weight* weight);

// `staged` is left null.
ProductArgs checked_product(const Matrix& weight, const qh_gptq_product_args* args);

}  // namespace quanthost::gptq

// Checks of everything that reaches the kernel package.
#pragma once

#include <quanthost/packages/gptq_kernels.h>

#include "cpu/kernels.hpp"

namespace quanthost::gptq {

FloatType float_type(qh_dtype dtype, const char* what);

// The weight with its sizes and pointers checked, and what lies in host memory, its group index and
// input order, too.
enum class Memory { host, device };
Matrix checked_weight(const qh_gptq_weight* weight, Memory memory = Memory::host);

// `staged` is left null.
ProductArgs checked_product(const Matrix& weight, const qh_gptq_product_args* args);

void check_hessian(const HessianArgs& args);

}  // namespace quanthost::gptq

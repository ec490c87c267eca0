// Checks of what crosses the package's table, shared by all its providers. Everything here throws
// qh::Error.
#ifndef QUANTHOST_PLUGINS_BNB4_PACKAGE_ARGUMENTS_HPP
#define QUANTHOST_PLUGINS_BNB4_PACKAGE_ARGUMENTS_HPP

#include <quanthost/packages/bnb4_kernels.h>

#include <quanthost/plugin.hpp>

#include "plugins/bnb4/format.hpp"

namespace quanthost::bnb4 {

inline constexpr const char* kPackageName = "bitsandbytes";
inline constexpr const char* kPackageVersion = "0.50.2";

FloatType float_type(qh_dtype dtype, const char* what);
QuantType quant_type(int32_t value);
// `own` where the caller leaves the choice.
Rule rule(int32_t value, Rule own);

// Complete copies, each field checked: sizes, products that overflow, and pointers that are needed
// and missing.
qh_bnb4_weight checked_weight(const qh_bnb4_weight* weight);
qh_bnb4_quantize_args checked(const qh_bnb4_quantize_args* args);
qh_bnb4_forward_args checked(const qh_bnb4_forward_args* args, const qh_bnb4_weight& weight);
qh_bnb4_backward_args checked(const qh_bnb4_backward_args* args, const qh_bnb4_weight& weight);
// For the functions that take plain arguments.
void check_run(int64_t count, int64_t blocksize, std::initializer_list<const void*> pointers);

}  // namespace quanthost::bnb4

#endif

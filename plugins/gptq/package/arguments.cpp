// Argument checks of the kernel package.
#include "package/arguments.hpp"

#include <quanthost/plugin.hpp>
#include <string>
#include <vector>

#include "format.hpp"

namespace quanthost::gptq {
namespace {

// Sizes whose products with each other and an element's bytes fit any address.
constexpr std::int64_t kLargestSize = std::int64_t{1} << 30;

void check_count(std::int64_t count, const char* what) {
  if (count < 0 || count > kLargestSize)
    throw qh::Error(QH_ERR_VALUE, std::string(what) + " is " + std::to_string(count) +
                                      "; it lies between 0 and 2^30");
}

void need(const void* pointer, std::int64_t count, const char* what) {
  if (count > 0 && !pointer) throw qh::Error(QH_ERR_VALUE, std::string(what) + " is missing");
}

void check_permutation(const std::int32_t* order, std::int64_t count) {
  std::vector<bool> seen(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    if (order[i] < 0 || order[i] >= count || seen[static_cast<std::size_t>(order[i])])
      throw qh::Error(QH_ERR_VALUE, "input_order[" + std::to_string(i) + "] is " +
                                        std::to_string(order[i]) +
                                        ": it is no permutation of the inputs");
    seen[static_cast<std::size_t>(order[i])] = true;
  }
}

}  // namespace

FloatType float_type(qh_dtype dtype, const char* what) {
  if (dtype == qh::kFloat32) return FloatType::f32;
  if (dtype == qh::kFloat16) return FloatType::f16;
  if (dtype == qh::kBfloat16) return FloatType::bf16;
  throw qh::Error(QH_ERR_VALUE,
                  std::string(what) + " has element type " + std::string(qh::name_of(dtype)),
                  "GPTQ kernels take float32, float16 and bfloat16");
}

Matrix checked_weight(const qh_gptq_weight* theirs, Memory memory) {
  if (!theirs) throw qh::Error(QH_ERR_VALUE, "the weight is missing");
  const qh_gptq_weight w = qh::copy_sized(theirs);
  check_bits(w.bits);
  check_count(w.inputs, "inputs");
  check_count(w.outputs, "outputs");
  check_count(w.groups, "groups");
  need(w.qweight, w.inputs * w.outputs, "qweight");
  need(w.qzeros, w.groups * w.outputs, "qzeros");
  need(w.scales, w.groups * w.outputs, "scales");
  need(w.g_idx, w.inputs, "g_idx");
  if (memory == Memory::host) {
    check_group_index({w.g_idx, static_cast<std::size_t>(w.inputs)}, w.groups);
    if (w.input_order) check_permutation(w.input_order, w.inputs);
  }
  return {w.bits,    w.inputs,     w.outputs, w.groups,
          w.qweight, w.qzeros,     w.scales,  float_type(w.scale_dtype, "the scale"),
          w.g_idx,   w.input_order};
}

ProductArgs checked_product(const Matrix& weight, const qh_gptq_product_args* theirs) {
  if (!theirs) throw qh::Error(QH_ERR_VALUE, "the arguments are missing");
  const qh_gptq_product_args a = qh::copy_sized(theirs);
  check_count(a.batch, "batch");
  need(a.input, a.batch, "input");
  need(a.output, a.batch, "output");
  return {weight,
          a.input,
          a.bias,
          a.output,
          a.batch,
          float_type(a.dtype, "the input"),
          a.bias ? float_type(a.bias_dtype, "the bias") : FloatType::f32,
          nullptr};
}

void check_hessian(const HessianArgs& a) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 30;
  if (a.tokens < 0 || a.columns < 0 || a.tokens > kLargest || a.columns > kLargest)
    throw qh::Error(QH_ERR_VALUE, "calibration inputs of " + std::to_string(a.tokens) + " x " +
                                      std::to_string(a.columns) + " do not fit");
  if ((!a.inputs && a.tokens * a.columns > 0) || !a.hessian)
    throw qh::Error(QH_ERR_VALUE, "inputs or Hessian are missing");
}

}  // namespace quanthost::gptq

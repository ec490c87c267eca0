// Argument checks of the kernel package.
#include "plugins/bnb4/package/arguments.hpp"

#include <string>

namespace quanthost::bnb4 {
namespace {

[[noreturn]] void refuse(const std::string& message, const std::string& hint = {}) {
  throw qh::Error(QH_ERR_VALUE, message, hint);
}

// An odd product of two sizes, or one past what an address can say, is an attack or a bug.
int64_t product(int64_t a, int64_t b, const char* what) {
  int64_t result = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &result) || result > (int64_t{1} << 56)) {
    refuse(std::string(what) + " has impossible sizes: " + std::to_string(a) + " x " +
           std::to_string(b));
  }
  return result;
}

void need(const void* pointer, int64_t count, const char* what) {
  if (count > 0 && !pointer) refuse(std::string(what) + " is missing");
}

void check_blocksize(int64_t blocksize) {
  if (is_blocksize(blocksize)) return;
  refuse("the block size " + std::to_string(blocksize) + " is not supported",
         "block sizes are 32, 64, 128, 256, 512, 1024, 2048 and 4096");
}

}  // namespace

FloatType float_type(qh_dtype dtype, const char* what) {
  if (dtype == qh::kFloat32) return FloatType::kFloat32;
  if (dtype == qh::kFloat16) return FloatType::kFloat16;
  if (dtype == qh::kBfloat16) return FloatType::kBfloat16;
  refuse(std::string(what) + " has element type " + std::string(qh::name_of(dtype)),
         "4-bit kernels take float32, float16 and bfloat16");
}

QuantType quant_type(int32_t value) {
  if (value == QH_BNB4_NF4) return QuantType::kNf4;
  if (value == QH_BNB4_FP4) return QuantType::kFp4;
  refuse("there is no 4-bit type " + std::to_string(value),
         "types are QH_BNB4_NF4 and QH_BNB4_FP4");
}

Rule rule(int32_t value, Rule own) {
  switch (value) {
    case QH_BNB4_RULE_OWN:
      return own;
    case QH_BNB4_RULE_CPU:
      return Rule::kCpu;
    case QH_BNB4_RULE_CUDA:
      return Rule::kCuda;
    default:
      refuse("there is no quantization rule " + std::to_string(value));
  }
}

qh_bnb4_weight checked_weight(const qh_bnb4_weight* theirs) {
  const qh_bnb4_weight weight = qh::copy_sized(theirs);
  quant_type(weight.quant_type);
  check_blocksize(weight.blocksize);
  const int64_t count = product(weight.rows, weight.columns, "the weight");
  need(weight.packed, count, "the packed weight");
  if (!weight.scales.absmax) {
    need(weight.scales.codes, count, "a scale for each block");
    need(weight.scales.nested_absmax, count, "the nested scales");
    need(weight.scales.nested_map, count, "the map of the nested scales");
    need(weight.scales.offset, count, "the offset of the nested scales");
    if (weight.scales.nested_blocksize <= 0) refuse("the nested block size has to be positive");
  }
  return weight;
}

qh_bnb4_quantize_args checked(const qh_bnb4_quantize_args* theirs) {
  const qh_bnb4_quantize_args args = qh::copy_sized(theirs);
  quant_type(args.quant_type);
  check_blocksize(args.blocksize);
  float_type(args.dtype, "the weight to quantize");
  product(args.count, 1, "the weight to quantize");
  need(args.source, args.count, "the weight to quantize");
  need(args.packed, args.count, "room for the codes");
  need(args.absmax, args.count, "room for the scales");
  return args;
}

qh_bnb4_forward_args checked(const qh_bnb4_forward_args* theirs, const qh_bnb4_weight& weight) {
  const qh_bnb4_forward_args args = qh::copy_sized(theirs);
  float_type(args.dtype, "the input");
  float_type(args.compute_dtype, "the product");
  if (args.bias) float_type(args.bias_dtype, "the bias");
  need(args.input, product(args.batch, weight.columns, "the input"), "the input");
  need(args.output, product(args.batch, weight.rows, "the output"), "the output");
  return args;
}

qh_bnb4_backward_args checked(const qh_bnb4_backward_args* theirs, const qh_bnb4_weight& weight) {
  const qh_bnb4_backward_args args = qh::copy_sized(theirs);
  float_type(args.dtype, "the gradient");
  need(args.grad_output, product(args.batch, weight.rows, "the output's gradient"),
       "the output's gradient");
  need(args.grad_input, product(args.batch, weight.columns, "the input's gradient"),
       "the input's gradient");
  return args;
}

void check_run(int64_t count, int64_t blocksize, std::initializer_list<const void*> pointers) {
  product(count, 1, "the run of values");
  if (blocksize <= 0)
    refuse("the block size has to be positive, and is " + std::to_string(blocksize));
  for (const void* pointer : pointers) need(pointer, count, "an argument");
}

}  // namespace quanthost::bnb4

// The `bitsandbytes` package for CUDA, HIP and the emulator: the function table over the GPU
// kernels. Compiled once for each, with QH_KERNEL_TARGET saying which.
#include <quanthost/plugin.hpp>
#include <string>

#include "plugins/bnb4/dynamic_map.hpp"
#include "plugins/bnb4/kernels/gpu/launchers.hpp"
#include "plugins/bnb4/package/arguments.hpp"

namespace quanthost::bnb4 {
namespace {

namespace kernels = gpu_kernels;

struct Package {
  qh::Host host;
};

template <class Body>
qh_status run(qh_package* self, Body&& body) {
  return reinterpret_cast<const Package*>(self)->host.guard([&] { body(); });
}

kernels::Weight device_weight(const qh_bnb4_weight& w) {
  const qh_bnb4_scales& s = w.scales;
  return {w.packed,
          {s.absmax, s.codes, s.nested_absmax, s.nested_map, s.offset, s.nested_blocksize},
          quant_type(w.quant_type),
          w.rows,
          w.columns,
          w.blocksize};
}

// The 8-bit rule of the CPU needs a table of 65536 steps, which this provider does not carry.
void require_cuda_rule(int32_t value) {
  if (rule(value, Rule::kCuda) == Rule::kCuda) return;
  throw qh::Error(QH_ERR_NOT_IMPLEMENTED,
                  "8-bit quantization by the CPU's rule runs on the CPU alone",
                  "use the bitsandbytes package of the device 'cpu'");
}

qh_status quantize_4bit(qh_package* self, const qh_exec* exec,
                        const qh_bnb4_quantize_args* theirs) {
  return run(self, [&] {
    const qh_bnb4_quantize_args args = checked(theirs);
    kernels::quantize(exec->stream, args.source, float_type(args.dtype, "the weight"), args.count,
                      args.blocksize, quant_type(args.quant_type), rule(args.rule, Rule::kCuda),
                      args.packed, args.absmax);
  });
}

qh_status dequantize_4bit(qh_package* self, const qh_exec* exec, const qh_bnb4_weight* theirs,
                          qh_dtype dtype, void* out) {
  return run(self, [&] {
    const qh_bnb4_weight weight = checked_weight(theirs);
    check_run(weight.rows * weight.columns, weight.blocksize, {out});
    kernels::dequantize(exec->stream, device_weight(weight), float_type(dtype, "the dense weight"),
                        out);
  });
}

qh_status quantize_8bit(qh_package* self, const qh_exec* exec, const float* values, int64_t count,
                        int64_t blocksize, int32_t rule_id, uint8_t* codes, float* absmax) {
  return run(self, [&] {
    check_run(count, blocksize, {values, codes, absmax});
    require_cuda_rule(rule_id);
    kernels::quantize_8bit(exec->stream, values, nullptr, count, blocksize, codes, absmax);
  });
}

qh_status dequantize_8bit(qh_package* self, const qh_exec* exec, const uint8_t* codes,
                          const float* absmax, const float* map, int64_t count, int64_t blocksize,
                          float* out) {
  return run(self, [&] {
    check_run(count, blocksize, {codes, absmax, map, out});
    kernels::dequantize_8bit(exec->stream, codes, absmax, map, count, blocksize, out);
  });
}

qh_status quantize_scales(qh_package* self, const qh_exec* exec, const float* absmax, int64_t count,
                          int32_t rule_id, uint8_t* codes, float* nested_absmax, float* offset) {
  return run(self, [&] {
    check_run(count, kNestedBlocksize, {absmax, codes, nested_absmax, offset});
    require_cuda_rule(rule_id);
    kernels::mean(exec->stream, absmax, count, offset);
    kernels::quantize_8bit(exec->stream, absmax, offset, count, kNestedBlocksize, codes,
                           nested_absmax);
  });
}

qh_status forward(qh_package* self, const qh_exec* exec, const qh_bnb4_weight* their_weight,
                  const qh_bnb4_forward_args* theirs) {
  return run(self, [&] {
    const qh_bnb4_weight weight = checked_weight(their_weight);
    const qh_bnb4_forward_args args = checked(theirs, weight);
    const FloatType bias_type =
        args.bias ? float_type(args.bias_dtype, "the bias") : FloatType::kFloat32;
    kernels::forward(
        exec->stream, device_weight(weight),
        {args.input, args.bias, args.output, args.batch, float_type(args.dtype, "the input"),
         bias_type, float_type(args.compute_dtype, "the product")});
  });
}

qh_status backward_input(qh_package* self, const qh_exec* exec, const qh_bnb4_weight* their_weight,
                         const qh_bnb4_backward_args* theirs) {
  return run(self, [&] {
    const qh_bnb4_weight weight = checked_weight(their_weight);
    const qh_bnb4_backward_args args = checked(theirs, weight);
    kernels::backward(exec->stream, device_weight(weight), args.grad_output,
                      float_type(args.dtype, "the gradient"), args.batch, args.grad_input);
  });
}

constexpr qh_bnb4_kernels kTable = {sizeof(qh_bnb4_kernels), 0,
                                    quantize_4bit,           dequantize_4bit,
                                    quantize_8bit,           dequantize_8bit,
                                    quantize_scales,         forward,
                                    backward_input};

const void* table(const qh::Host& host, qh_package** self) {
  const std::string cause = kernels::why_unavailable();
  if (!cause.empty()) {
    throw qh::Error(QH_ERR_RUNTIME, std::string("bitsandbytes for ") + QH_KERNEL_TARGET +
                                        " cannot run here: " + cause);
  }
  static Package package{host};
  *self = reinterpret_cast<qh_package*>(&package);
  return &kTable;
}

class GpuPlugin : public qh::Plugin {
 public:
  using Plugin::Plugin;
  std::vector<qh::PackageEntry> packages() const override {
    return {{kPackageName, kPackageVersion, QH_KERNEL_TARGET, QH_BNB4_KERNELS_ID, table}};
  }
};

}  // namespace
}  // namespace quanthost::bnb4

QH_PLUGIN(quanthost::bnb4::GpuPlugin)

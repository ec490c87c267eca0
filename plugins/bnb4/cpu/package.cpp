// The `bitsandbytes` package for the CPU: the function table over the CPU operations.
#include <cstring>
#include <new>
#include <quanthost/plugin.hpp>
#include <string>

#include "plugins/bnb4/dynamic_map.hpp"
#include "plugins/bnb4/kernels/cpu/operations.hpp"
#include "plugins/bnb4/package/arguments.hpp"

namespace quanthost::bnb4 {
namespace {

// What a qh_package of ours points to.
struct Package {
  qh::Host host;
  const cpu::KernelTable& kernels;
};

template <class Body>
qh_status run(qh_package* self, Body&& body) {
  const auto& package = *reinterpret_cast<const Package*>(self);
  return package.host.guard([&] { body(package.kernels); });
}

// A status of the host's parallel_for that is ours alone: every other one has been recorded by
// whoever failed.
void check(qh_status status) {
  if (status == QH_ERR_MEMORY) throw std::bad_alloc();
  qh::check(status);
}

cpu::PackedMatrix matrix(const qh_bnb4_weight& weight) {
  return {weight.packed, weight.scales.absmax, 0, quant_type(weight.quant_type), weight.blocksize,
          weight.rows,   weight.columns};
}

// Scales for an operation: null when they are plain.
class Nested {
 public:
  explicit Nested(const qh_bnb4_scales& scales)
      : used_(!scales.absmax && scales.codes),
        scales_{scales.codes, scales.nested_absmax, scales.nested_map,
                used_ ? *scales.offset : 0.0f, scales.nested_blocksize} {}
  const cpu::NestedScales* get() const { return used_ ? &scales_ : nullptr; }

 private:
  bool used_;
  cpu::NestedScales scales_;
};

qh_status quantize_4bit(qh_package* self, const qh_exec* exec,
                        const qh_bnb4_quantize_args* theirs) {
  return run(self, [&](const cpu::KernelTable& kernels) {
    const qh_bnb4_quantize_args args = checked(theirs);
    check(cpu::quantize(
        kernels, *exec,
        {args.source, float_type(args.dtype, "the weight"), args.count, args.blocksize,
         quant_type(args.quant_type), rule(args.rule, Rule::kCpu), args.packed, args.absmax}));
  });
}

qh_status dequantize_4bit(qh_package* self, const qh_exec* exec, const qh_bnb4_weight* theirs,
                          qh_dtype dtype, void* out) {
  return run(self, [&](const cpu::KernelTable& kernels) {
    const qh_bnb4_weight weight = checked_weight(theirs);
    const int64_t count = weight.rows * weight.columns;
    check_run(count, weight.blocksize, {out});
    const Nested nested(weight.scales);
    check(cpu::dequantize(
        kernels, *exec,
        {weight.packed, weight.scales.absmax, nested.get(), count, weight.blocksize,
         quant_type(weight.quant_type), float_type(dtype, "the dense weight"), out}));
  });
}

qh_status quantize_8bit(qh_package* self, const qh_exec*, const float* values, int64_t count,
                        int64_t blocksize, int32_t rule_id, uint8_t* codes, float* absmax) {
  return run(self, [&](const cpu::KernelTable&) {
    check_run(count, blocksize, {values, codes, absmax});
    cpu::quantize_8bit(values, count, blocksize, rule(rule_id, Rule::kCpu), codes, absmax);
  });
}

qh_status dequantize_8bit(qh_package* self, const qh_exec*, const uint8_t* codes,
                          const float* absmax, const float* map, int64_t count, int64_t blocksize,
                          float* out) {
  return run(self, [&](const cpu::KernelTable& kernels) {
    check_run(count, blocksize, {codes, absmax, map, out});
    kernels.expand_scales({codes, absmax, map, 0.0f, blocksize}, 0, count, out);
  });
}

qh_status quantize_scales(qh_package* self, const qh_exec*, const float* absmax, int64_t count,
                          int32_t rule_id, uint8_t* codes, float* nested_absmax, float* offset) {
  return run(self, [&](const cpu::KernelTable&) {
    check_run(count, kNestedBlocksize, {absmax, codes, nested_absmax, offset});
    cpu::quantize_scales(absmax, count, rule(rule_id, Rule::kCpu), codes, nested_absmax, offset);
  });
}

qh_status forward(qh_package* self, const qh_exec* exec, const qh_bnb4_weight* their_weight,
                  const qh_bnb4_forward_args* theirs) {
  return run(self, [&](const cpu::KernelTable& kernels) {
    const qh_bnb4_weight weight = checked_weight(their_weight);
    const qh_bnb4_forward_args args = checked(theirs, weight);
    const Nested nested(weight.scales);
    const FloatType bias_type =
        args.bias ? float_type(args.bias_dtype, "the bias") : FloatType::kFloat32;
    check(
        cpu::linear(kernels, *exec,
                    {matrix(weight), nested.get(), args.input, float_type(args.dtype, "the input"),
                     float_type(args.compute_dtype, "the product"), args.batch, args.bias,
                     bias_type, args.output}));
  });
}

qh_status backward_input(qh_package* self, const qh_exec* exec, const qh_bnb4_weight* their_weight,
                         const qh_bnb4_backward_args* theirs) {
  return run(self, [&](const cpu::KernelTable& kernels) {
    const qh_bnb4_weight weight = checked_weight(their_weight);
    const qh_bnb4_backward_args args = checked(theirs, weight);
    const Nested nested(weight.scales);
    check(cpu::backward(kernels, *exec,
                        {matrix(weight), nested.get(), args.grad_output,
                         float_type(args.dtype, "the gradient"), args.batch, args.grad_input}));
  });
}

constexpr qh_bnb4_kernels kTable = {sizeof(qh_bnb4_kernels), 0,
                                    quantize_4bit,           dequantize_4bit,
                                    quantize_8bit,           dequantize_8bit,
                                    quantize_scales,         forward,
                                    backward_input};

const void* table(const qh::Host& host, qh_package** self) {
  // One for the process: its host handle lives as long.
  static Package package{host, cpu::kernels_for(quanthost::cpu::best_isa())};
  *self = reinterpret_cast<qh_package*>(&package);
  return &kTable;
}

class CpuPlugin : public qh::Plugin {
 public:
  using Plugin::Plugin;
  std::vector<qh::PackageEntry> packages() const override {
    return {{kPackageName, kPackageVersion, "cpu", QH_BNB4_KERNELS_ID, table}};
  }
  // Every instruction set of this machine gives the scalar path's bytes.
  void self_test(const qh::Exec& exec) override;
};

void CpuPlugin::self_test(const qh::Exec& exec) {
  constexpr int64_t kCount = 1000;
  float source[kCount];
  for (int64_t i = 0; i < kCount; ++i) source[i] = static_cast<float>((37 * i) % 101 - 50) / 50.0f;
  uint8_t expected[kCount / 2], packed[kCount / 2];
  float absmax[16];
  const auto quantize = [&](const cpu::KernelTable& kernels, uint8_t* out) {
    qh::check(cpu::quantize(
        kernels, *exec.abi(),
        {source, FloatType::kFloat32, kCount, 64, QuantType::kNf4, Rule::kCpu, out, absmax}));
  };
  quantize(cpu::scalar_kernels(), expected);
  for (const cpu::Isa isa : quanthost::cpu::kAllIsas) {
    if (isa > quanthost::cpu::best_isa()) break;
    const cpu::KernelTable& kernels = cpu::kernels_for(isa);
    quantize(kernels, packed);
    if (std::memcmp(expected, packed, sizeof(packed)) != 0) {
      throw qh::Error(
          QH_ERR_RUNTIME,
          std::string("the ") + kernels.name + " kernels give other bytes than the scalar ones",
          "set QUANTHOST_CPU_ISA=scalar, and report this processor");
    }
  }
}

}  // namespace
}  // namespace quanthost::bnb4

QH_PLUGIN(quanthost::bnb4::CpuPlugin)

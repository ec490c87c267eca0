// The CPU kernel package: the functions of qh.quanto.kernels/1 over one instruction set's table.
#pragma once

#include <quanthost/plugin.hpp>

#include "cpu/kernels.hpp"
#include "package/weight.hpp"

namespace quanthost::quanto {

class CpuPackage {
 public:
  CpuPackage(const qh::Host& host, const Kernels& kernels) : host_(host), kernels_(kernels) {}

  const qh::Host& host() const { return host_; }

  void quantize(const qh::Exec&, const qh_tensor& base, std::int32_t optimizer,
                const Weight& out) const;
  void quantize_with(const qh::Exec&, const qh_tensor& base, const Weight& out) const;
  void dequantize(const qh::Exec&, const Weight&, const qh_tensor& out) const;
  float absmax(const qh::Exec&, const qh_tensor& x) const;
  void linear(const qh::Exec&, const qh_tensor& x, const Weight&, const qh_tensor* bias,
              const qh_tensor& out) const;
  void linear_quantized(const qh::Exec&, const qh_tensor& x_data, float x_scale, const Weight&,
                        const qh_tensor* bias, const qh_tensor& out) const;
  void backward_input(const qh::Exec&, const qh_tensor& grad_output, const Weight&,
                      const qh_tensor& grad_input) const;

 private:
  void quantize_base(const qh::Exec&, const qh_tensor& base, const Weight&, bool given_scale) const;
  void quantize_matrix(const qh::Exec&, const void* base, const Matrix&, bool given_scale) const;
  void run_linear(const qh::Exec&, const LinearPath&, LinearArgs) const;

  qh::Host host_;
  const Kernels& kernels_;
};

// The table of functions for every CpuPackage.
const qh_quanto_kernels& cpu_package_table();

}  // namespace quanthost::quanto

// What passes through one module: the scales of its input and output, how values are quantized with
// them, and how they are found.
#pragma once

#include <mutex>
#include <optional>
#include <quanthost/plugin/module.hpp>
#include <vector>

#include "format.hpp"
#include "quantizer/kernel_packages.hpp"

namespace quanthost::quanto {

// optimum-quanto's Calibration(momentum=…, streamline=…).
struct CalibrationSettings {
  double momentum = 0.9;   // of output scales; an input's is always 0.9
  bool streamline = true;  // as in 0.2.7: after its first run a module's output stays a float
};

// The output scales of the modules that ran last. Upstream hands quantized tensors from module to
// module; here they travel as floats, and the next module knows one by the grid its values lie on.
class RecentScales {
 public:
  void add(float scale);
  std::vector<float> newest_first() const;

 private:
  static constexpr std::size_t kKept = 4;
  mutable std::mutex lock_;
  std::vector<float> scales_;
};

class Activations {
 public:
  // No type: nothing is quantized, and the scales are only kept for the checkpoint. `recent`
  // outlives this.
  Activations(std::optional<QType> qtype, qh::Dtype dtype, RecentScales& recent)
      : qtype_(qtype), dtype_(dtype), recent_(&recent) {}

  std::optional<QType> qtype() const { return qtype_; }

  // "input_scale" and "output_scale", as buffers of the module.
  static bool is_scale(std::string_view name);
  std::vector<qh::ParamInfo> parameters() const;
  void set_scale(const qh::Exec&, std::string_view name, qh::TensorView value);
  void emit_scales(const qh::Exec&, const qh::TensorEmitter& emit) const;
  std::uint64_t bytes() const { return 2 * dtype_.bits / 8; }

  // From here on scales follow what passes, until nothing is given.
  void calibrate(std::optional<CalibrationSettings> settings) { calibration_ = settings; }
  bool calibrating() const { return calibration_.has_value(); }

  struct Codes {
    qh::Tensor data;
    float scale;
  };
  // The input as 8-bit codes. An input that a module before this one quantized keeps its scale.
  Codes quantize_input(const qh::Exec&, const KernelPackage&, const qh_tensor& x);
  // For modules whose input stays a float.
  void observe_input(const qh::Exec&, const KernelPackage&, const qh_tensor& x);
  void dequantize(const qh::Exec& exec, const KernelPackage& package, const Codes& codes,
                  const qh_tensor& out) const {
    dequantize(exec, package, codes, out, codes.scale);
  }
  void dequantize(const qh::Exec&, const KernelPackage&, const Codes&, const qh_tensor& out,
                  float scale) const;
  // Quantized with the output scale and back, in place.
  void quantize_output(const qh::Exec&, const KernelPackage&, const qh_tensor& out);

 private:
  std::optional<Codes> codes_of_quantized(const qh::Exec&, const KernelPackage&,
                                          const qh_tensor& x) const;
  std::optional<Codes> codes_on_grid(const qh::Exec&, const KernelPackage&, const qh_tensor& x,
                                     float scale) const;
  Codes quantize(const qh::Exec&, const KernelPackage&, const qh_tensor& x, float scale) const;
  void follow(float& scale, const qh::Exec&, const KernelPackage&, const qh_tensor& x,
              double momentum) const;

  std::optional<QType> qtype_;
  qh::Dtype dtype_;  // of the scales as they are stored
  RecentScales* recent_;
  float input_scale_ = 1.0f, output_scale_ = 1.0f;
  std::optional<CalibrationSettings> calibration_;
  bool quantizes_output_ = true;
};

}  // namespace quanthost::quanto

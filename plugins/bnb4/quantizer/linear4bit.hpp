// Linear4bit: one linear layer whose weight is packed in 4 bits.
#ifndef QUANTHOST_PLUGINS_BNB4_QUANTIZER_LINEAR4BIT_HPP
#define QUANTHOST_PLUGINS_BNB4_QUANTIZER_LINEAR4BIT_HPP

#include <memory>
#include <optional>
#include <quanthost/plugin.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/bnb4/quantizer/kernel_set.hpp"
#include "plugins/bnb4/quantizer/quant_state.hpp"

namespace quanthost::bnb4 {

struct LayerShape {
  int64_t in_features;
  int64_t out_features;
  bool has_bias;
};

// How a dense weight is to be quantized, and in which type products are computed.
struct LayerOptions {
  QuantType quant_type;
  bool double_quant;
  qh::Dtype quant_storage;
  qh::Dtype compute_dtype;  // kNoDtype: the input's
};

class Linear4bit : public qh::Module {
 public:
  static constexpr const char* kClassName = "Linear4bit";
  static constexpr std::uint32_t kFlags = QH_MODULE_LINEAR;

  Linear4bit(const qh::Host& host, std::shared_ptr<const KernelSet> kernels,
             const LayerShape& shape, const LayerOptions& options)
      : Module(host), kernels_(std::move(kernels)), shape_(shape), options_(options) {}

  // Quantizes a dense [out_features, in_features] weight on exec's device.
  void quantize(const qh::Exec& exec, qh::Tensor dense);

  qh::ModuleInfo describe() const override;
  std::vector<qh::ParamInfo> parameters() const override;
  // "bias", "weight" (packed bytes) and the tensors stored beside it. The weight is usable once all
  // of them are there.
  void set_param(const qh::Exec& exec, std::string_view name, qh::Tensor value) override;
  qh::Tensor get_param(const qh::Exec& exec, std::string_view name) override;
  void forward(const qh::Exec& exec, const qh_tensor* inputs, std::uint32_t count,
               qh::TensorView output) override;
  void backward_input(const qh::Exec& exec, qh::TensorView grad_output, qh::TensorView input,
                      qh::TensorView grad_input) override;
  void to_device(const qh::Exec& exec) override;
  void state_dict(const qh::Exec& exec, const qh::TensorEmitter& emit) override;
  // kNoDtype: the type at quantization time.
  qh::Tensor dequantize(const qh::Exec& exec, qh::Dtype dtype) override;
  qh::ModuleMemory memory_bytes() const override;

  // A share of the bias; empty when there is none.
  qh::Tensor bias(const qh::Exec& exec) const { return bias_ ? exec.share(bias_) : qh::Tensor(); }

 private:
  qh::ModuleMemory expected_memory() const;
  void quantize_scales(const qh::Exec& exec, const Kernels& kernels, qh::Tensor absmax);
  void set_stored(const qh::Exec& exec, std::string_view name, qh::Tensor value);
  void adopt_absmax(const qh::Exec& exec, qh::Tensor value);
  bool complete() const;
  void check_complete() const;
  void expect_loaded() const;
  // The state with the offset read back from the device.
  QuantState state_with_offset(const qh::Exec& exec) const;
  qh_bnb4_weight weight() const;

  std::shared_ptr<const KernelSet> kernels_;
  LayerShape shape_;
  LayerOptions options_;

  // As the checkpoint has them; nested_* and offset_ only with double quantization. All on the
  // layer's device.
  std::optional<QuantState> state_;
  qh::Tensor packed_;  // of the storage type, [bytes / size, 1]
  qh::Tensor absmax_;  // float32, or uint8 when nested
  qh::Tensor quant_map_;
  qh::Tensor nested_absmax_;
  qh::Tensor nested_map_;
  qh::Tensor offset_;  // float32, one value
  qh::Tensor bias_;
};

}  // namespace quanthost::bnb4

#endif

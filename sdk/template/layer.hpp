// The quantized layer: what a module of the model becomes.
#pragma once

#include <quanthost/plugin.hpp>

namespace @name@ {

class Layer final : public qh::Module {
 public:
  static constexpr const char* kClassName = "@Name@Linear";
  static constexpr std::uint32_t kFlags = QH_MODULE_LINEAR;  // [..., in_features] -> [..., out_features]

  Layer(const qh::Host& host, std::int64_t in_features, std::int64_t out_features, bool has_bias)
      : qh::Module(host), in_features_(in_features), out_features_(out_features), has_bias_(has_bias) {}

  // A dense weight of any floating type becomes the stored form. This is where quantization happens.
  void quantize(const qh::Exec& exec, qh::Tensor weight);

  qh::ModuleInfo describe() const override;
  std::vector<qh::ParamInfo> parameters() const override;
  void set_param(const qh::Exec& exec, std::string_view name, qh::Tensor value) override;
  void forward(const qh::Exec& exec, const qh_tensor* inputs, std::uint32_t input_count, qh::TensorView output) override;
  void state_dict(const qh::Exec& exec, const qh::TensorEmitter& emit) override;
  qh::Tensor dequantize(const qh::Exec& exec, qh::Dtype dtype) override;
  qh::ModuleMemory memory_bytes() const override;

 private:
  bool loaded() const { return weight_ && (bias_ || !has_bias_); }
  void check_shape(std::string_view name, const qh::Tensor& value) const;

  std::int64_t in_features_;
  std::int64_t out_features_;
  bool has_bias_;
  qh::Dtype dense_dtype_ = qh::kFloat32;  // of the weight before quantization
  qh::Tensor weight_;                     // bfloat16 [out, in]
  qh::Tensor bias_;                       // as stored [out]
};

}  // namespace @name@

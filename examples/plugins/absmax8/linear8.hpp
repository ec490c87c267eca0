// A linear layer whose weight is int8 with one scale for each output row.
#pragma once

#include <quanthost/plugin.hpp>

namespace absmax8 {

class Linear8 final : public qh::Module {
 public:
  static constexpr const char* kClassName = "Linear8";
  static constexpr std::uint32_t kFlags = QH_MODULE_LINEAR;

  Linear8(const qh::Host& host, std::int64_t in_features, std::int64_t out_features, bool has_bias)
      : qh::Module(host),
        in_features_(in_features),
        out_features_(out_features),
        has_bias_(has_bias) {}

  // Quantizes rows [row_begin, row_begin + weight rows) of a dense weight of any floating type.
  void quantize_rows(const qh::Exec& exec, qh::Tensor weight, std::int64_t row_begin);

  qh::ModuleInfo describe() const override;
  std::vector<qh::ParamInfo> parameters() const override;
  // "weight" (int8), "weight_scale" (float32) and "bias", as a checkpoint stores them.
  void set_param(const qh::Exec& exec, std::string_view name, qh::Tensor value) override;
  void forward(const qh::Exec& exec, const qh_tensor* inputs, std::uint32_t input_count,
               qh::TensorView output) override;
  void backward_input(const qh::Exec& exec, qh::TensorView grad_output, qh::TensorView input,
                      qh::TensorView grad_input) override;
  void to_device(const qh::Exec& exec) override;
  void state_dict(const qh::Exec& exec, const qh::TensorEmitter& emit) override;
  qh::Tensor dequantize(const qh::Exec& exec, qh::Dtype dtype) override;
  qh::ModuleMemory memory_bytes() const override;

 private:
  void expect_loaded() const;

  std::int64_t in_features_;
  std::int64_t out_features_;
  bool has_bias_;
  std::int64_t rows_loaded_ = 0;
  qh::Dtype dense_dtype_ = qh::kFloat32;
  qh::Tensor weight_;  // int8 [out, in]
  qh::Tensor scale_;   // float32 [out]
  qh::Tensor bias_;    // as stored, [out]
};

}  // namespace absmax8

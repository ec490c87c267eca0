#include "host/model/encoder.hpp"

namespace quanthost::model {

EncoderAttention::EncoderAttention(std::string class_name, const ModelConfig& config, bool bias,
                                   const at::TensorOptions& options)
    : Module(std::move(class_name)), shape_{config.heads,           config.heads, config.head_dim,
                                            config.attention_scale, 0.0,          0} {
  const std::int64_t width = config.hidden_size;
  query_ = add<Layer>("query", std::make_shared<Linear>(width, width, bias, options));
  key_ = add<Layer>("key", std::make_shared<Linear>(width, width, bias, options));
  value_ = add<Layer>("value", std::make_shared<Linear>(width, width, bias, options));
  add("dropout", std::make_shared<Dropout>());
}

at::Tensor EncoderAttention::operator()(const at::Tensor& hidden, const BlockInputs& inputs) {
  return hooked_call(hidden, [&](const at::Tensor& x) {
    return attend(split_heads((*query_)(x), shape_.head_dim),
                  split_heads((*key_)(x), shape_.head_dim),
                  split_heads((*value_)(x), shape_.head_dim), shape_, inputs, /*layer=*/0);
  });
}

EncoderIntermediate::EncoderIntermediate(std::string class_name, const ModelConfig& config,
                                         const at::TensorOptions& options)
    : Layer(std::move(class_name)) {
  dense_ = add<Layer>("dense", std::make_shared<Linear>(config.hidden_size,
                                                        config.intermediate_size, true, options));
  activation_ = add<Layer>("intermediate_act_fn", std::make_shared<Activation>(config.activation));
}

EncoderPooler::EncoderPooler(std::string class_name, std::int64_t width, std::int64_t pooled,
                             const std::string& activation, const at::TensorOptions& options)
    : Layer(std::move(class_name)) {
  dense_ = add<Layer>("dense", std::make_shared<Linear>(width, pooled, true, options));
  activation_ = add<Layer>("activation", std::make_shared<Activation>(activation));
}

}  // namespace quanthost::model

// Quantizing and computing with a Linear4bit layer.
#include "plugins/bnb4/quantizer/linear4bit.hpp"

#include "plugins/bnb4/quantizer/host_tensor.hpp"

namespace quanthost::bnb4 {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

qh::Tensor quant_map_tensor(const qh::Exec& exec, QuantType type) {
  return device_tensor(exec, qh::kFloat32, {16}, code_table(type));
}

}  // namespace

void Linear4bit::quantize(const qh::Exec& exec, qh::Tensor dense) {
  if (dense.view().shape() != std::vector<int64_t>{shape_.out_features, shape_.in_features}) {
    throw qh::Error(QH_ERR_VALUE, "the weight has shape " + shape_text(dense.view().shape()) +
                                      ", and the layer needs " +
                                      shape_text({shape_.out_features, shape_.in_features}));
  }
  const Kernels& kernels = kernels_->need(exec.device_kind());
  const qh::Dtype dtype = dense.view().dtype();
  dense = exec.converted(std::move(dense), dtype);  // contiguous
  QuantState state;
  state.quant_type = options_.quant_type;
  state.dtype = dtype;
  state.rows = shape_.out_features;
  state.columns = shape_.in_features;

  const int64_t count = state.rows * state.columns;
  const int64_t bytes = packed_bytes(count);
  const int64_t storage_bytes = options_.quant_storage.bits / 8;
  if (bytes % storage_bytes != 0) {
    throw qh::Error(QH_ERR_VALUE,
                    "bnb_4bit_quant_storage: " + std::to_string(bytes) +
                        " packed bytes cannot be stored as " +
                        std::string(qh::name_of(options_.quant_storage)),
                    "choose uint8, or leave this module out with llm_int8_skip_modules");
  }
  qh::Tensor packed = exec.allocate(options_.quant_storage, {bytes / storage_bytes, 1});
  qh::Tensor absmax = exec.allocate(qh::kFloat32, {block_count(count, state.blocksize)});
  const qh_bnb4_quantize_args args = {sizeof(args),        static_cast<int32_t>(state.quant_type),
                                      dense.data<void>(),  dtype,
                                      QH_BNB4_RULE_OWN,    count,
                                      state.blocksize,     packed.data<uint8_t>(),
                                      absmax.data<float>()};
  qh::check(kernels.table.quantize_4bit(kernels.package, exec.abi(), &args));
  state_ = state;
  packed_ = std::move(packed);
  quant_map_ = quant_map_tensor(exec, state.quant_type);
  if (options_.double_quant) {
    quantize_scales(exec, kernels, std::move(absmax));
  } else {
    absmax_ = std::move(absmax);
  }
}

void Linear4bit::quantize_scales(const qh::Exec& exec, const Kernels& kernels, qh::Tensor absmax) {
  const int64_t blocks = absmax.view().elements();
  absmax_ = exec.allocate(qh::kUint8, {blocks});
  nested_absmax_ = exec.allocate(qh::kFloat32, {block_count(blocks, kNestedBlocksize)});
  nested_map_ = device_tensor(exec, qh::kFloat32, {256}, dynamic_map().data());
  offset_ = exec.allocate(qh::kFloat32, {1});
  qh::check(kernels.table.quantize_scales(kernels.package, exec.abi(), absmax.data<float>(), blocks,
                                          QH_BNB4_RULE_OWN, absmax_.data<uint8_t>(),
                                          nested_absmax_.data<float>(), offset_.data<float>()));
  state_->nested_offset =
      0;  // the true value stays on the device until somebody asks for the state
}

bool Linear4bit::complete() const {
  if (!state_ || !packed_ || !absmax_) return false;
  return !state_->nested_offset || (nested_absmax_ && nested_map_ && offset_);
}

void Linear4bit::expect_loaded() const {
  if (!complete()) throw qh::Error(QH_ERR_RUNTIME, "the Linear4bit layer is not loaded yet");
}

qh::ModuleInfo Linear4bit::describe() const {
  return {shape_.in_features, shape_.out_features, shape_.has_bias,
          state_ ? state_->dtype : qh::kNoDtype, complete() && (bias_ || !shape_.has_bias)};
}

qh_bnb4_weight Linear4bit::weight() const {
  qh_bnb4_weight weight{};
  weight.struct_size = sizeof(weight);
  weight.quant_type = static_cast<int32_t>(state_->quant_type);
  weight.rows = state_->rows;
  weight.columns = state_->columns;
  weight.blocksize = state_->blocksize;
  weight.packed = packed_.data<uint8_t>();
  weight.scales.struct_size = sizeof(weight.scales);
  if (state_->nested_offset) {
    weight.scales.codes = absmax_.data<uint8_t>();
    weight.scales.nested_absmax = nested_absmax_.data<float>();
    weight.scales.nested_map = nested_map_.data<float>();
    weight.scales.offset = offset_.data<float>();
    weight.scales.nested_blocksize = state_->nested_blocksize;
  } else {
    weight.scales.absmax = absmax_.data<float>();
  }
  return weight;
}

void Linear4bit::forward(const qh::Exec& exec, const qh_tensor* inputs, std::uint32_t count,
                         qh::TensorView output) {
  expect_loaded();
  const qh::TensorView input(inputs[0]);
  if (count != 1 || input.ndim() < 1 || input.size(-1) != shape_.in_features ||
      input.dtype() != output.dtype()) {
    throw qh::Error(QH_ERR_VALUE, "Linear4bit takes one input whose last dimension is " +
                                      std::to_string(shape_.in_features) + ", found " +
                                      shape_text(input.shape()));
  }
  const Kernels& kernels = kernels_->need(exec.device_kind());
  const qh_bnb4_weight packed = weight();
  qh_bnb4_forward_args args{};
  args.struct_size = sizeof(args);
  args.input = input.data<void>();
  args.output = output.data<void>();
  args.batch = shape_.in_features ? input.elements() / shape_.in_features : 0;
  args.dtype = input.dtype();
  args.compute_dtype =
      options_.compute_dtype == qh::kNoDtype ? input.dtype() : options_.compute_dtype;
  if (bias_) {
    args.bias = bias_.data<void>();
    args.bias_dtype = bias_.view().dtype();
  }
  qh::check(kernels.table.forward(kernels.package, exec.abi(), &packed, &args));
}

void Linear4bit::backward_input(const qh::Exec& exec, qh::TensorView grad_output, qh::TensorView,
                                qh::TensorView grad_input) {
  expect_loaded();
  const Kernels& kernels = kernels_->need(exec.device_kind());
  if (!kernels.table.backward_input) throw unsupported("the gradient of its input on this device");
  if (grad_output.dtype() != grad_input.dtype()) {
    throw qh::Error(QH_ERR_TYPE, "the two gradients have different element types");
  }
  const qh_bnb4_weight packed = weight();
  const qh_bnb4_backward_args args = {
      sizeof(args),
      0,
      grad_output.data<void>(),
      grad_input.data<void>(),
      shape_.out_features ? grad_output.elements() / shape_.out_features : 0,
      grad_input.dtype(),
      0};
  qh::check(kernels.table.backward_input(kernels.package, exec.abi(), &packed, &args));
}

qh::Tensor Linear4bit::dequantize(const qh::Exec& exec, qh::Dtype dtype) {
  expect_loaded();
  const Kernels& kernels = kernels_->need(exec.device_kind());
  const qh_bnb4_weight packed = weight();
  qh::Tensor dense = exec.allocate(state_->dtype, {state_->rows, state_->columns});
  qh::check(kernels.table.dequantize_4bit(kernels.package, exec.abi(), &packed, state_->dtype,
                                          dense.data<void>()));
  return dtype == qh::kNoDtype ? std::move(dense) : exec.converted(std::move(dense), dtype);
}

}  // namespace quanthost::bnb4

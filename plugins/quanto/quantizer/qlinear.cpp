// QLinear: parameters under optimum-quanto's names, and the forward that its weight and activations
// call for.
#include "quantizer/qlinear.hpp"

#include <string>

namespace quanthost::quanto {
namespace {

using qh::Error;

constexpr std::string_view kWeightPrefix = "weight.";

}  // namespace

QLinear::QLinear(const qh::Host& host, KernelPackages& packages, RecentScales& recent,
                 const LinearSpec& spec)
    : QModule(host, packages, Activations(spec.activations, spec.dtype, recent)),
      spec_(spec),
      weight_(spec.weights, spec.out_features, spec.in_features) {}

void QLinear::quantize_rows(const qh::Exec& exec, qh::TensorView dense, std::int64_t row_begin) {
  weight_.quantize(exec, kernels(exec), spec_.optimizer, dense, row_begin);
}

void QLinear::expect_frozen() const {
  if (!frozen())
    throw Error(QH_ERR_RUNTIME, "the layer has no quantized weight yet",
                "load all of weight._data, weight._scale and, below 8 bits, weight._shift");
}

qh::ModuleInfo QLinear::describe() const {
  const bool loaded = (frozen() || dense_) && (bias_ || !spec_.has_bias);
  return {spec_.in_features, spec_.out_features, spec_.has_bias, spec_.dtype, loaded};
}

std::vector<qh::ParamInfo> QLinear::parameters() const {
  std::vector<qh::ParamInfo> out;
  const double dense_bytes = spec_.dtype.bits / 8.0;
  if (spec_.pre_quantized) {
    for (qh::ParamInfo& part : weight_.parts(spec_.dtype)) {
      part.name.insert(0, kWeightPrefix);
      out.push_back(std::move(part));
    }
  } else {
    out.push_back({"weight",
                   spec_.dtype,
                   {spec_.out_features, spec_.in_features},
                   bit_width(spec_.weights) / 8.0});
  }
  if (spec_.has_bias) out.push_back({"bias", spec_.dtype, {spec_.out_features}, dense_bytes});
  for (qh::ParamInfo& scale : activations_.parameters()) out.push_back(std::move(scale));
  return out;
}

void QLinear::set_param(const qh::Exec& exec, std::string_view name, qh::Tensor value) {
  if (name.substr(0, kWeightPrefix.size()) == kWeightPrefix &&
      weight_.has_part(name.substr(kWeightPrefix.size())))
    return weight_.set_part(exec, kernels(exec), name.substr(kWeightPrefix.size()),
                            std::move(value));
  if (Activations::is_scale(name)) return activations_.set_scale(exec, name, value.view());
  const bool is_weight = name == "weight";
  if (!is_weight && !(name == "bias" && spec_.has_bias)) throw no_param(name);
  const std::vector<std::int64_t> shape = is_weight
                                              ? std::vector{spec_.out_features, spec_.in_features}
                                              : std::vector{spec_.out_features};
  if (value.view().shape() != shape)
    throw Error(QH_ERR_VALUE, "'" + std::string(name) + "' has the wrong shape for a layer of " +
                                  std::to_string(spec_.out_features) + " x " +
                                  std::to_string(spec_.in_features));
  (is_weight ? dense_ : bias_) = exec.converted(std::move(value), value.view().dtype());
}

qh::Tensor QLinear::get_param(const qh::Exec& exec, std::string_view name) {
  if (name == "weight" && dense_) return exec.share(dense_);
  qh::Tensor found;
  state_dict(exec, [&](std::string_view key, qh::Tensor tensor) {
    if (key == name) found = std::move(tensor);
  });
  if (!found) throw no_param(name);
  return found;
}

// A weight that came without quantization (a part of the model that stayed on the CPU beside other
// devices) is quantized now: upstream would do it again in each forward.
void QLinear::prepare(const qh::Exec& exec) {
  if (!frozen() && dense_) {
    quantize_rows(exec, dense_.view(), 0);
    dense_.reset(nullptr);
  }
}

void QLinear::forward(const qh::Exec& exec, const qh_tensor* inputs, std::uint32_t,
                      qh::TensorView output) {
  if (!frozen()) prepare(exec);
  expect_frozen();
  if (spec_.activations) return forward_quantized(exec, inputs[0], output);
  const KernelPackage& package = kernels(exec);
  const qh_quanto_weight w = weight_.abi();
  qh::Tensor bias;
  if (bias_ && bias_.view().dtype() != output.dtype()) {
    bias = exec.allocate(output.dtype(), {spec_.out_features});
    exec.copy(bias_.abi(), bias.abi());
  }
  qh::check(package.table.linear(package.self, exec.abi(), inputs, &w,
                                 bias    ? bias.abi()
                                 : bias_ ? bias_.abi()
                                         : nullptr,
                                 output.abi()));
}

// As upstream's hooks: the input is quantized with input_scale, the output with output_scale.
void QLinear::forward_quantized(const qh::Exec& exec, const qh_tensor& input,
                                qh::TensorView output) {
  if (output.elements() == 0) return;
  const KernelPackage& package = kernels(exec);
  if (output.dtype() != weight_.dtype())
    throw Error(QH_ERR_VALUE, "quantized activations need an input of the weight's own type, " +
                                  std::string(qh::name_of(weight_.dtype())));
  const Activations::Codes codes = activations_.quantize_input(exec, package, input);
  const qh_quanto_weight w = weight_.abi();
  const qh_tensor* bias = bias_ ? bias_.abi() : nullptr;
  if (is_affine(spec_.weights)) {
    const qh::Tensor x = exec.allocate(weight_.dtype(), qh::TensorView(input).shape());
    activations_.dequantize(exec, package, codes, *x.abi());
    qh::check(package.table.linear(package.self, exec.abi(), x.abi(), &w, bias, output.abi()));
  } else {
    qh::check(package.table.linear_quantized(package.self, exec.abi(), codes.data.abi(),
                                             codes.scale, &w, bias, output.abi()));
  }
  activations_.quantize_output(exec, package, *output.abi());
}

void QLinear::backward_input(const qh::Exec& exec, qh::TensorView grad_output, qh::TensorView,
                             qh::TensorView grad_input) {
  expect_frozen();
  const KernelPackage& package = kernels(exec);
  if (!package.table.backward_input) throw unsupported("the gradient of its input on this device");
  const qh_quanto_weight w = weight_.abi();
  qh::check(package.table.backward_input(package.self, exec.abi(), grad_output.abi(), &w,
                                         grad_input.abi()));
}

void QLinear::to_device(const qh::Exec& exec) {
  kernels(exec);
  weight_.to_device(exec);
  move_tensor(exec, dense_);
  move_tensor(exec, bias_);
}

void QLinear::state_dict(const qh::Exec& exec, const qh::TensorEmitter& emit) {
  if (dense_ && !frozen())
    emit("weight", exec.share(dense_));
  else
    expect_frozen(), weight_.emit_parts(exec, emit);
  if (bias_) emit("bias", exec.share(bias_));
  activations_.emit_scales(exec, emit);
}

qh::Tensor QLinear::dequantize(const qh::Exec& exec, qh::Dtype dtype) {
  expect_frozen();
  return exec.converted(weight_.dequantize(exec, kernels(exec)),
                        dtype == qh::kNoDtype ? weight_.dtype() : dtype);
}

// Of a layer that was not filled yet: the parts that its weight will have.
qh::ModuleMemory QLinear::expected_memory() const {
  qh::ModuleMemory memory;
  for (const qh::ParamInfo& part : weight_.parts(spec_.dtype)) {
    double bytes = part.element_bytes;
    for (const std::int64_t size : part.shape) bytes *= static_cast<double>(size);
    auto& sum = part.name == "_scale" || part.name == "_shift" ? memory.overhead_bytes
                                                               : memory.weight_bytes;
    sum += static_cast<std::uint64_t>(bytes);
  }
  if (spec_.has_bias)
    memory.overhead_bytes += static_cast<std::uint64_t>(spec_.out_features) * spec_.dtype.bits / 8;
  return memory;
}

qh::ModuleMemory QLinear::memory_bytes() const {
  if (!frozen() && !dense_) return expected_memory();
  const auto bytes = [](const qh::Tensor& tensor) { return tensor ? tensor.view().bytes() : 0; };
  return {weight_.data_bytes(), weight_.overhead_bytes() + bytes(bias_) + activations_.bytes(),
          bytes(dense_)};
}

}  // namespace quanthost::quanto

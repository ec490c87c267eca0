// QLinear: parameters under optimum-quanto's names, and the forward that its weight and activations
// call for.
#include "quantizer/qlinear.hpp"

#include <cstring>
#include <quanthost/cpu/formats.hpp>
#include <string>

namespace quanthost::quanto {
namespace {

using qh::Error;

constexpr std::string_view kWeightPrefix = "weight.";

// A scalar tensor of any float type on host memory.
float scalar(const qh::Tensor& tensor) {
  const qh::Dtype dtype = tensor.view().dtype();
  if (dtype == qh::kFloat16) return cpu::to_float(*tensor.data<cpu::Float16>());
  if (dtype == qh::kBfloat16) return cpu::to_float(*tensor.data<cpu::BFloat16>());
  return *tensor.data<float>();
}

}  // namespace

QLinear::QLinear(const qh::Host& host, KernelPackages& packages, const LinearSpec& spec)
    : qh::Module(host),
      packages_(packages),
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
  out.push_back({"input_scale", spec_.dtype, {}, dense_bytes, true});
  out.push_back({"output_scale", spec_.dtype, {}, dense_bytes, true});
  return out;
}

void QLinear::set_param(const qh::Exec& exec, std::string_view name, qh::Tensor value) {
  if (name.substr(0, kWeightPrefix.size()) == kWeightPrefix &&
      weight_.has_part(name.substr(kWeightPrefix.size())))
    return weight_.set_part(exec, kernels(exec), name.substr(kWeightPrefix.size()),
                            std::move(value));
  const bool is_scale = name == "input_scale" || name == "output_scale";
  const std::vector<std::int64_t> shape = name == "weight"
                                              ? std::vector{spec_.out_features, spec_.in_features}
                                          : is_scale ? std::vector<std::int64_t>{}
                                                     : std::vector{spec_.out_features};
  if (name != "weight" && !is_scale && !(name == "bias" && spec_.has_bias)) throw no_param(name);
  if (value.view().shape() != shape)
    throw Error(QH_ERR_VALUE, "'" + std::string(name) + "' has the wrong shape for a layer of " +
                                  std::to_string(spec_.out_features) + " x " +
                                  std::to_string(spec_.in_features));
  qh::Tensor& slot = name == "weight"        ? dense_
                     : name == "bias"        ? bias_
                     : name == "input_scale" ? input_scale_
                                             : output_scale_;
  slot = exec.converted(std::move(value), value.view().dtype());
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

qh::Tensor QLinear::scale_or_one(const qh::Exec& exec, const qh::Tensor& scale) const {
  qh::Tensor out = exec.allocate(weight_.dtype(), {});
  if (scale) {
    exec.copy(scale.abi(), out.abi());
    return out;
  }
  float one = 1.0f;
  qh_tensor unit{&one, {QH_DEVICE_CPU, 0}, 0, qh::kFloat32, nullptr, nullptr, 0};
  exec.copy(&unit, out.abi());
  return out;
}

qh::Tensor QLinear::quantize_activation(const qh::Exec& exec, const qh_tensor& x,
                                        const qh::Tensor& scale) {
  const KernelPackage& package = kernels(exec);
  const qh::TensorView view(x);
  const std::int64_t columns = view.size(-1), rows = view.elements() / columns;
  const QType qtype = *spec_.activations;
  qh::Tensor data = exec.allocate(qtype == QType::int8            ? qh::kInt8
                                  : qtype == QType::float8_e4m3fn ? qh::kFloat8E4m3fn
                                  : qtype == QType::float8_e5m2   ? qh::kFloat8E5m2
                                                                  : qh::kFloat8E4m3fnuz,
                                  view.shape());
  const qh_quanto_weight codes{sizeof(codes),
                               static_cast<std::int32_t>(qtype),
                               QH_QUANTO_PER_TENSOR,
                               0,
                               0,
                               rows,
                               columns,
                               data.abi(),
                               scale.abi(),
                               nullptr};
  qh::check(package.table.quantize_with(package.self, exec.abi(), &x, &codes));
  return data;
}

// As upstream's hooks: the input is quantized with input_scale, the output with output_scale.
void QLinear::forward_quantized(const qh::Exec& exec, const qh_tensor& input,
                                qh::TensorView output) {
  if (output.elements() == 0) return;
  const KernelPackage& package = kernels(exec);
  if (output.dtype() != weight_.dtype())
    throw Error(QH_ERR_VALUE, "quantized activations need an input of the weight's own type, " +
                                  std::string(qh::name_of(weight_.dtype())));
  const qh::Tensor input_scale = scale_or_one(exec, input_scale_),
                   output_scale = scale_or_one(exec, output_scale_);
  const qh::Tensor codes = quantize_activation(exec, input, input_scale);
  const qh_quanto_weight w = weight_.abi();
  const qh_tensor* bias = bias_ ? bias_.abi() : nullptr;
  const auto dense_view = [&](const qh::Tensor& data, const qh::Tensor& scale) {
    const std::int64_t columns = data.view().size(-1);
    return qh_quanto_weight{sizeof(qh_quanto_weight),
                            static_cast<std::int32_t>(*spec_.activations),
                            QH_QUANTO_PER_TENSOR,
                            0,
                            0,
                            data.view().elements() / columns,
                            columns,
                            data.abi(),
                            scale.abi(),
                            nullptr};
  };
  if (is_affine(spec_.weights)) {
    const qh::Tensor x = exec.allocate(weight_.dtype(), qh::TensorView(input).shape());
    const qh_quanto_weight activation = dense_view(codes, input_scale);
    qh::check(package.table.dequantize(package.self, exec.abi(), &activation, x.abi()));
    qh::check(package.table.linear(package.self, exec.abi(), x.abi(), &w, bias, output.abi()));
  } else {
    qh::check(package.table.linear_quantized(package.self, exec.abi(), codes.abi(),
                                             scalar(input_scale), &w, bias, output.abi()));
  }
  const qh::Tensor result = quantize_activation(exec, *output.abi(), output_scale);
  const qh_quanto_weight activation = dense_view(result, output_scale);
  qh::check(package.table.dequantize(package.self, exec.abi(), &activation, output.abi()));
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
  for (qh::Tensor* part : {&dense_, &bias_, &input_scale_, &output_scale_}) {
    if (!*part) continue;
    qh::Tensor moved = exec.allocate(part->view().dtype(), part->view().shape());
    exec.copy(part->abi(), moved.abi());
    *part = std::move(moved);
  }
}

void QLinear::state_dict(const qh::Exec& exec, const qh::TensorEmitter& emit) {
  if (dense_ && !frozen())
    emit("weight", exec.share(dense_));
  else
    expect_frozen(), weight_.emit_parts(exec, emit);
  if (bias_) emit("bias", exec.share(bias_));
  emit("input_scale", input_scale_ ? exec.share(input_scale_) : scale_or_one(exec, input_scale_));
  emit("output_scale",
       output_scale_ ? exec.share(output_scale_) : scale_or_one(exec, output_scale_));
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
  return {weight_.data_bytes(),
          weight_.overhead_bytes() + bytes(bias_) + bytes(input_scale_) + bytes(output_scale_),
          bytes(dense_)};
}

}  // namespace quanthost::quanto

// Parameters of a module with a quantized weight.
#include "quantizer/weighted_module.hpp"

#include <string>

namespace quanthost::quanto {
namespace {

using qh::Error;

constexpr std::string_view kWeightPrefix = "weight.";

}  // namespace

WeightedModule::WeightedModule(const qh::Host& host, KernelPackages& packages, RecentScales& recent,
                               const WeightSpec& spec)
    : QModule(host, packages, Activations(spec.activations, spec.dtype, recent)),
      spec_(spec),
      weight_(spec.weights, spec.shape) {}

void WeightedModule::quantize_rows(const qh::Exec& exec, qh::TensorView dense,
                                   std::int64_t row_begin) {
  weight_.quantize(exec, kernels(exec), spec_.optimizer, dense, row_begin);
}

void WeightedModule::expect_frozen() const {
  if (!frozen())
    throw Error(QH_ERR_RUNTIME, "the layer has no quantized weight yet",
                "load all of weight._data, weight._scale and, below 8 bits, weight._shift");
}

bool WeightedModule::has_all_parts() const {
  return (frozen() || dense_) && (bias_ || !spec_.has_bias);
}

std::vector<qh::ParamInfo> WeightedModule::parameters() const {
  std::vector<qh::ParamInfo> out;
  const double dense_bytes = spec_.dtype.bits / 8.0;
  if (spec_.pre_quantized) {
    for (qh::ParamInfo& part : weight_.parts(spec_.dtype)) {
      part.name.insert(0, kWeightPrefix);
      out.push_back(std::move(part));
    }
  } else {
    out.push_back({"weight", spec_.dtype, spec_.shape, bit_width(spec_.weights) / 8.0});
  }
  if (spec_.has_bias) out.push_back({"bias", spec_.dtype, {spec_.shape[0]}, dense_bytes});
  for (qh::ParamInfo& scale : activations_.parameters()) out.push_back(std::move(scale));
  return out;
}

void WeightedModule::set_param(const qh::Exec& exec, std::string_view name, qh::Tensor value) {
  if (name.substr(0, kWeightPrefix.size()) == kWeightPrefix &&
      weight_.has_part(name.substr(kWeightPrefix.size())))
    return weight_.set_part(exec, kernels(exec), name.substr(kWeightPrefix.size()),
                            std::move(value));
  if (Activations::is_scale(name)) return activations_.set_scale(exec, name, value.view());
  const bool is_weight = name == "weight";
  if (!is_weight && !(name == "bias" && spec_.has_bias)) throw no_param(name);
  const std::vector<std::int64_t> shape = is_weight ? spec_.shape : std::vector{spec_.shape[0]};
  if (value.view().shape() != shape)
    throw Error(QH_ERR_VALUE, "'" + std::string(name) + "' has shape " +
                                  shape_text(value.view().shape()) + "; this layer has " +
                                  shape_text(shape));
  const qh::Dtype dtype = value.view().dtype();
  (is_weight ? dense_ : bias_) = exec.converted(std::move(value), dtype);
}

qh::Tensor WeightedModule::get_param(const qh::Exec& exec, std::string_view name) {
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
void WeightedModule::prepare(const qh::Exec& exec) {
  if (!frozen() && dense_) {
    quantize_rows(exec, dense_.view(), 0);
    dense_.reset(nullptr);
  }
}

void WeightedModule::freeze(const qh::Exec& exec) {
  if (!frozen()) prepare(exec);
  expect_frozen();
}

void WeightedModule::to_device(const qh::Exec& exec) {
  kernels(exec);
  weight_.to_device(exec);
  move_tensor(exec, dense_);
  move_tensor(exec, bias_);
}

void WeightedModule::state_dict(const qh::Exec& exec, const qh::TensorEmitter& emit) {
  if (dense_ && !frozen())
    emit("weight", exec.share(dense_));
  else
    expect_frozen(), weight_.emit_parts(exec, emit);
  if (bias_) emit("bias", exec.share(bias_));
  activations_.emit_scales(exec, emit);
}

// Of a layer that was not filled yet: the parts that its weight will have.
qh::ModuleMemory WeightedModule::expected_memory() const {
  qh::ModuleMemory memory;
  for (const qh::ParamInfo& part : weight_.parts(spec_.dtype)) {
    double bytes = part.element_bytes;
    for (const std::int64_t size : part.shape) bytes *= static_cast<double>(size);
    auto& sum = part.name == "_scale" || part.name == "_shift" ? memory.overhead_bytes
                                                               : memory.weight_bytes;
    sum += static_cast<std::uint64_t>(bytes);
  }
  if (spec_.has_bias)
    memory.overhead_bytes += static_cast<std::uint64_t>(spec_.shape[0]) * spec_.dtype.bits / 8;
  return memory;
}

qh::ModuleMemory WeightedModule::memory_bytes() const {
  if (!frozen() && !dense_) return expected_memory();
  const auto bytes = [](const qh::Tensor& tensor) { return tensor ? tensor.view().bytes() : 0; };
  return {weight_.data_bytes(), weight_.overhead_bytes() + bytes(bias_) + activations_.bytes(),
          bytes(dense_)};
}

}  // namespace quanthost::quanto

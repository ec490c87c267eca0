// QuantLinear: its parts under a checkpoint's names, and the products through the kernel package.
#include "quantizer/quant_linear.hpp"

#include <string>

#include "quantizer/host_tensor.hpp"
#include "quantizer/word_order.hpp"

namespace quanthost::gptq {
namespace {

using qh::Error;

constexpr std::string_view kParts[] = {"qweight", "qzeros", "scales", "g_idx"};

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

bool is_scale_type(qh::Dtype dtype) {
  return dtype == qh::kFloat16 || dtype == qh::kBfloat16 || dtype == qh::kFloat32;
}

std::uint64_t bytes_of(const qh::Tensor& tensor) { return tensor ? tensor.view().bytes() : 0; }

}  // namespace

QuantLinear::QuantLinear(const qh::Host& host, KernelPackages& packages, const LinearSpec& spec)
    : qh::Module(host), packages_(packages), spec_(spec) {
  check_bits(spec.bits);
}

// Every part with the type and shape that a checkpoint has it in. Scales and biases may have any
// floating type; the one said here is what is written.
qh::ParamInfo QuantLinear::info(std::string_view name) const {
  const auto words = [&](std::int64_t codes) {
    return words_for(codes, spec_.bits, spec_.stored.layout);
  };
  if (name == "qweight") return {"qweight", qh::kInt32, {words(spec_.inputs), spec_.outputs}, 4.0};
  if (name == "qzeros") return {"qzeros", qh::kInt32, {spec_.groups, words(spec_.outputs)}, 4.0};
  if (name == "scales") return {"scales", qh::kFloat16, {spec_.groups, spec_.outputs}, 2.0};
  if (name == "g_idx") return {"g_idx", qh::kInt32, {spec_.inputs}, 4.0};
  if (name == "bias" && spec_.has_bias)
    return {"bias", spec_.dtype, {spec_.outputs}, spec_.dtype.bits / 8.0};
  throw no_param(name);
}

std::vector<qh::ParamInfo> QuantLinear::parameters() const {
  std::vector<qh::ParamInfo> out;
  for (const std::string_view name : kParts) out.push_back(info(name));
  if (spec_.has_bias) out.push_back(info("bias"));
  return out;
}

qh::Tensor& QuantLinear::part(std::string_view name) {
  return name == "qweight"  ? loaded_.qweight
         : name == "qzeros" ? loaded_.qzeros
         : name == "scales" ? loaded_.scales
         : name == "g_idx"  ? loaded_.g_idx
                            : bias_;
}

void QuantLinear::set_param(const qh::Exec& exec, std::string_view name, qh::Tensor value) {
  const qh::ParamInfo wanted = info(name);
  const qh::Dtype found = value.view().dtype();
  const bool is_words = wanted.dtype == qh::kInt32;
  const bool fits = is_words ? found == qh::kInt32 || (name == "g_idx" && found == qh::kInt64)
                             : is_scale_type(found);
  if (!fits)
    throw Error(QH_ERR_TYPE, "'" + wanted.name + "' has element type " +
                                 std::string(qh::name_of(found)) + "; needed is " +
                                 (is_words ? "int32" : "float16, bfloat16 or float32"));
  if (value.view().shape() != wanted.shape)
    throw Error(QH_ERR_VALUE,
                "'" + wanted.name + "' has shape " + shape_text(value.view().shape()) +
                    "; a layer of " + std::to_string(spec_.inputs) + " inputs and " +
                    std::to_string(spec_.outputs) + " outputs in " + std::to_string(spec_.bits) +
                    " bits and " + std::to_string(spec_.groups) + " groups has " +
                    shape_text(wanted.shape),
                "the checkpoint's tensors and its quantization_config do not belong together");
  part(name) = exec.converted(std::move(value), is_words ? qh::kInt32 : found);
}

bool QuantLinear::all_loaded() const {
  return loaded_.qweight && loaded_.qzeros && loaded_.scales && (loaded_.g_idx || !spec_.has_g_idx);
}

qh::ModuleInfo QuantLinear::describe() const {
  const bool there = ready_.complete() || all_loaded();
  return {spec_.inputs, spec_.outputs, spec_.has_bias, spec_.dtype,
          there && (bias_ || !spec_.has_bias)};
}

void QuantLinear::prepare(const qh::Exec& exec) { finish_loading(exec, spec_.stored); }

void QuantLinear::expect_ready() const {
  if (!ready_.complete())
    throw Error(QH_ERR_RUNTIME, "the layer has no quantized weight yet",
                "load all of qweight, qzeros, scales and g_idx");
}

qh_gptq_weight QuantLinear::weight() const {
  return {sizeof(qh_gptq_weight),
          spec_.bits,
          spec_.inputs,
          spec_.outputs,
          spec_.groups,
          ready_.qweight.data<std::uint32_t>(),
          ready_.qzeros.data<std::uint32_t>(),
          ready_.scales.data<void>(),
          ready_.g_idx.data<std::int32_t>(),
          input_order_ ? input_order_.data<std::int32_t>() : nullptr,
          ready_.scales.view().dtype(),
          0};
}

void QuantLinear::forward(const qh::Exec& exec, const qh_tensor* inputs, std::uint32_t,
                          qh::TensorView output) {
  expect_ready();
  const qh::TensorView input(inputs[0]);
  if (input.ndim() < 1 || input.size(-1) != spec_.inputs)
    throw Error(QH_ERR_VALUE, "the input has shape " + shape_text(input.shape()) +
                                  "; its last dimension has to be " + std::to_string(spec_.inputs));
  if (!(input.dtype() == output.dtype()))
    throw Error(QH_ERR_TYPE, "input and output differ in their element type");
  const KernelPackage& package = kernels(exec);
  const qh_gptq_weight w = weight();
  const qh_gptq_product_args args{sizeof(args),
                                  input.dtype(),
                                  input.data<void>(),
                                  bias_ ? bias_.data<void>() : nullptr,
                                  output.data<void>(),
                                  input.elements() / spec_.inputs,
                                  bias_ ? bias_.view().dtype() : qh::kNoDtype,
                                  0};
  qh::check(package.table.forward(package.self, exec.abi(), &w, &args));
}

void QuantLinear::backward_input(const qh::Exec& exec, qh::TensorView grad_output, qh::TensorView,
                                 qh::TensorView grad_input) {
  expect_ready();
  const KernelPackage& package = kernels(exec);
  if (!package.table.backward_input) throw unsupported("the gradient of its input on this device");
  const qh_gptq_weight w = weight();
  const qh_gptq_product_args args{sizeof(args),
                                  grad_output.dtype(),
                                  grad_output.data<void>(),
                                  nullptr,
                                  grad_input.data<void>(),
                                  spec_.outputs ? grad_output.elements() / spec_.outputs : 0,
                                  qh::kNoDtype,
                                  0};
  qh::check(package.table.backward_input(package.self, exec.abi(), &w, &args));
}

void QuantLinear::to_device(const qh::Exec& exec) {
  kernels(exec);
  for (qh::Tensor* tensor :
       {&loaded_.qweight, &loaded_.qzeros, &loaded_.scales, &loaded_.g_idx, &ready_.qweight,
        &ready_.qzeros, &ready_.scales, &ready_.g_idx, &input_order_, &bias_}) {
    if (!*tensor) continue;
    qh::Tensor moved = exec.allocate(tensor->view().dtype(), tensor->view().shape());
    exec.copy(tensor->abi(), moved.abi());
    *tensor = std::move(moved);
  }
}

qh::Tensor QuantLinear::dequantize(const qh::Exec& exec, qh::Dtype dtype) {
  expect_ready();
  if (dtype == qh::kNoDtype) dtype = spec_.dtype;
  const KernelPackage& package = kernels(exec);
  const qh_gptq_weight w = weight();
  const qh::Dtype computed = is_scale_type(dtype) ? dtype : qh::kFloat32;
  const qh::Tensor dense = exec.allocate(computed, {spec_.inputs, spec_.outputs});
  qh::check(package.table.dequantize(package.self, exec.abi(), &w, computed, dense.data<void>()));
  return transposed(exec, *dense.abi(), dtype);
}

qh::Tensor QuantLinear::bias(const qh::Exec& exec) const {
  return bias_ ? exec.share(bias_) : qh::Tensor();
}

qh::Tensor QuantLinear::get_param(const qh::Exec& exec, std::string_view name) {
  info(name);
  qh::Tensor found;
  state_dict(exec, [&](std::string_view key, qh::Tensor tensor) {
    if (key == name) found = std::move(tensor);
  });
  if (!found) throw no_param(name);
  return found;
}

qh::ModuleMemory QuantLinear::memory_bytes() const {
  return {bytes_of(loaded_.qweight) + bytes_of(ready_.qweight),
          bytes_of(loaded_.qzeros) + bytes_of(ready_.qzeros) + bytes_of(loaded_.scales) +
              bytes_of(ready_.scales) + bytes_of(loaded_.g_idx) + bytes_of(ready_.g_idx) +
              bytes_of(bias_),
          bytes_of(input_order_)};
}

}  // namespace quanthost::gptq

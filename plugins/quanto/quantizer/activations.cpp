// Scales of activations: found while a model is calibrated, used afterwards.
#include "quantizer/activations.hpp"

#include <algorithm>
#include <cstring>
#include <quanthost/cpu/formats.hpp>
#include <string>

#include "element_type.hpp"

namespace quanthost::quanto {
namespace {

using qh::Error;

constexpr double kInputMomentum = 0.9;  // whatever the user asks for

// A number as a scalar of this type on exec's device.
qh::Tensor scalar_tensor(const qh::Exec& exec, float value, qh::Dtype dtype) {
  qh::Tensor out = exec.allocate(dtype, {});
  const qh_tensor unit{&value, {QH_DEVICE_CPU, 0}, 0, qh::kFloat32, nullptr, nullptr, 0};
  exec.copy(&unit, out.abi());
  return out;
}

float scalar_value(const qh::Exec& exec, qh::TensorView tensor) {
  float value = 0.0f;
  const qh_tensor unit{&value, {QH_DEVICE_CPU, 0}, 0, qh::kFloat32, nullptr, nullptr, 0};
  exec.copy(tensor.abi(), &unit);
  return value;
}

// Rounded as arithmetic in this type rounds.
float rounded(float value, qh::Dtype dtype) {
  if (dtype == qh::kFloat16) return cpu::to_float(cpu::from_float<cpu::Float16>(value));
  if (dtype == qh::kBfloat16) return cpu::to_float(cpu::from_float<cpu::BFloat16>(value));
  return value;
}

qh_quanto_weight as_weight(QType qtype, qh::TensorView data, const qh::Tensor& scale) {
  const std::int64_t columns = data.ndim() ? data.size(-1) : 1;
  return {sizeof(qh_quanto_weight),
          static_cast<std::int32_t>(qtype),
          QH_QUANTO_PER_TENSOR,
          0,
          0,
          data.elements() / columns,
          columns,
          data.abi(),
          scale.abi(),
          nullptr};
}

// A tensor's bytes where the CPU reads them: its own on the CPU, else a copy.
class HostBytes {
 public:
  HostBytes(const qh::Exec& exec, const qh_tensor& tensor)
      : size_(qh::TensorView(tensor).bytes()), data_(qh::TensorView(tensor).data<char>()) {
    if (exec.is_cpu()) return;
    copy_.resize(size_);
    const qh_tensor host{
        copy_.data(), {QH_DEVICE_CPU, 0}, tensor.ndim, tensor.dtype, tensor.shape, nullptr, 0};
    exec.copy(&tensor, &host);
    data_ = copy_.data();
  }
  bool operator==(const HostBytes& other) const {
    return size_ == other.size_ && std::memcmp(data_, other.data_, size_) == 0;
  }
  const char* begin() const { return data_; }
  const char* end() const { return data_ + size_; }

 private:
  std::size_t size_;
  const char* data_;
  std::vector<char> copy_;
};

// Of float8 codes: a value below zero, which a negative zero is not.
bool holds_a_negative(const HostBytes& codes) {
  return std::any_of(codes.begin(), codes.end(),
                     [](char code) { return static_cast<std::uint8_t>(code) > 0x80; });
}

}  // namespace

void RecentScales::add(float scale) {
  const std::lock_guard guard(lock_);
  scales_.erase(std::remove(scales_.begin(), scales_.end(), scale), scales_.end());
  scales_.insert(scales_.begin(), scale);
  if (scales_.size() > kKept) scales_.pop_back();
}

std::vector<float> RecentScales::newest_first() const {
  const std::lock_guard guard(lock_);
  return scales_;
}

bool Activations::is_scale(std::string_view name) {
  return name == "input_scale" || name == "output_scale";
}

std::vector<qh::ParamInfo> Activations::parameters() const {
  const double bytes = dtype_.bits / 8.0;
  return {{"input_scale", dtype_, {}, bytes, true}, {"output_scale", dtype_, {}, bytes, true}};
}

void Activations::set_scale(const qh::Exec& exec, std::string_view name, qh::TensorView value) {
  if (value.elements() != 1 || value.ndim() != 0)
    throw Error(QH_ERR_VALUE, "'" + std::string(name) + "' has to be a scalar");
  if (value.dtype() != qh::kFloat32 && value.dtype() != qh::kFloat16 &&
      value.dtype() != qh::kBfloat16)
    throw Error(QH_ERR_TYPE, "'" + std::string(name) + "' has element type " +
                                 std::string(qh::name_of(value.dtype())));
  dtype_ = value.dtype();
  (name == "input_scale" ? input_scale_ : output_scale_) = scalar_value(exec, value);
}

void Activations::emit_scales(const qh::Exec& exec, const qh::TensorEmitter& emit) const {
  emit("input_scale", scalar_tensor(exec, input_scale_, dtype_));
  emit("output_scale", scalar_tensor(exec, output_scale_, dtype_));
}

Activations::Codes Activations::quantize(const qh::Exec& exec, const KernelPackage& package,
                                         const qh_tensor& x, float scale) const {
  Codes codes{exec.allocate(data_dtype(*qtype_), qh::TensorView(x).shape()), scale};
  const qh::Tensor unit = scalar_tensor(exec, scale, x.dtype);
  const qh_quanto_weight out = as_weight(*qtype_, codes.data.view(), unit);
  qh::check(package.table.quantize_with(package.self, exec.abi(), &x, &out));
  return codes;
}

void Activations::dequantize(const qh::Exec& exec, const KernelPackage& package, const Codes& codes,
                             const qh_tensor& out, float scale) const {
  const qh::Tensor unit = scalar_tensor(exec, scale, out.dtype);
  const qh_quanto_weight weight = as_weight(*qtype_, codes.data.view(), unit);
  qh::check(package.table.dequantize(package.self, exec.abi(), &weight, &out));
}

// The codes with this scale, when they give every value again.
std::optional<Activations::Codes> Activations::codes_on_grid(const qh::Exec& exec,
                                                             const KernelPackage& package,
                                                             const qh_tensor& x,
                                                             float scale) const {
  Codes codes = quantize(exec, package, x, scale);
  const qh::Tensor back = exec.allocate(x.dtype, qh::TensorView(x).shape());
  dequantize(exec, package, codes, *back.abi());
  if (HostBytes(exec, *back.abi()) == HostBytes(exec, x)) return codes;
  return std::nullopt;
}

// The codes of an input that another module quantized; most inputs fail at their first row, which
// is all that leaves a device for them.
std::optional<Activations::Codes> Activations::codes_of_quantized(const qh::Exec& exec,
                                                                  const KernelPackage& package,
                                                                  const qh_tensor& x) const {
  qh_tensor row = x;
  row.ndim = 1;
  row.shape = x.shape + (x.ndim - 1);
  row.strides = nullptr;
  for (const float scale : recent_->newest_first()) {
    if (!codes_on_grid(exec, package, row, scale)) continue;
    std::optional<Codes> codes = codes_on_grid(exec, package, x, scale);
    // relu leaves values on the grid, but upstream has it for int8 only: a float8 tensor leaves it
    // as floats, which get the scale of the next input.
    if (codes && (!is_float8(*qtype_) || holds_a_negative({exec, *codes->data.abi()})))
      return codes;
  }
  return std::nullopt;
}

// optimum-quanto's step: the first value replaces the 1 that a scale starts with, each operation
// rounds to the scale's type.
void Activations::follow(float& scale, const qh::Exec& exec, const KernelPackage& package,
                         const qh_tensor& x, double momentum) const {
  float largest = 0.0f;
  qh::check(package.table.absmax(package.self, exec.abi(), &x, &largest));
  const float fresh = rounded(largest / largest_value(*qtype_), x.dtype);
  if (scale == 1.0f) {
    scale = fresh;
    return;
  }
  const float kept = rounded(static_cast<float>(momentum) * scale, x.dtype);
  const float added = rounded(fresh * static_cast<float>(1.0 - momentum), x.dtype);
  scale = rounded(kept + added, x.dtype);
}

void Activations::observe_input(const qh::Exec& exec, const KernelPackage& package,
                                const qh_tensor& x) {
  if (!calibration_) return;
  if (const auto known = codes_of_quantized(exec, package, x))
    input_scale_ = known->scale;
  else
    follow(input_scale_, exec, package, x, kInputMomentum);
}

Activations::Codes Activations::quantize_input(const qh::Exec& exec, const KernelPackage& package,
                                               const qh_tensor& x) {
  if (auto known = codes_of_quantized(exec, package, x)) {
    if (calibration_) input_scale_ = known->scale;
    return std::move(*known);
  }
  if (calibration_) follow(input_scale_, exec, package, x, kInputMomentum);
  return quantize(exec, package, x, input_scale_);
}

void Activations::quantize_output(const qh::Exec& exec, const KernelPackage& package,
                                  const qh_tensor& out) {
  if (calibration_) follow(output_scale_, exec, package, out, calibration_->momentum);
  if (!quantizes_output_) return;
  dequantize(exec, package, quantize(exec, package, out, output_scale_), out);
  recent_->add(output_scale_);
  if (calibration_ && calibration_->streamline) quantizes_output_ = false;
}

}  // namespace quanthost::quanto

// A quantized weight: allocation, checks of stored parts, and calls of the package.
#include "quantizer/qweight.hpp"

#include <functional>
#include <numeric>
#include <string>

#include "element_type.hpp"
#include "quantizer/qmodule.hpp"

namespace quanthost::quanto {
namespace {

using qh::Error;

std::int64_t product_after_first(const std::vector<std::int64_t>& shape) {
  return std::accumulate(shape.begin() + 1, shape.end(), std::int64_t{1}, std::multiplies<>());
}

// Rows [begin, begin + count) of a contiguous tensor, as a view of a matrix.
struct RowsView {
  std::int64_t shape[2];
  qh_tensor tensor;

  RowsView(const qh::Tensor& whole, std::int64_t begin, std::int64_t count)
      : shape{count, whole.view().elements() / whole.view().size(0)}, tensor(*whole.abi()) {
    tensor.ndim = 2;
    tensor.shape = shape;
    tensor.strides = nullptr;
    tensor.byte_offset += static_cast<std::uint64_t>(begin * shape[1] * tensor.dtype.bits / 8);
  }
};

}  // namespace

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

QWeight::QWeight(QType qtype, std::vector<std::int64_t> shape)
    : qtype_(qtype),
      shape_(std::move(shape)),
      rows_(shape_.at(0)),
      columns_(product_after_first(shape_)),
      group_size_(module_group_size(qtype, columns_)) {}

bool QWeight::complete() const {
  return data_ && scale_ && (shift_ || !is_affine(qtype_)) && rows_quantized_ == rows_;
}

qh::Dtype QWeight::dtype() const { return scale_ ? scale_.view().dtype() : qh::kNoDtype; }

std::uint64_t QWeight::data_bytes() const { return data_ ? data_.view().bytes() : 0; }

std::uint64_t QWeight::overhead_bytes() const {
  return (scale_ ? scale_.view().bytes() : 0) + (shift_ ? shift_.view().bytes() : 0);
}

qh_quanto_weight QWeight::description() const {
  // One output has one scale for its whole weight, a scalar.
  const bool per_tensor = rows_ == 1 && !is_affine(qtype_);
  return {sizeof(qh_quanto_weight),
          static_cast<std::int32_t>(qtype_),
          per_tensor ? QH_QUANTO_PER_TENSOR : QH_QUANTO_AXIS_FIRST,
          0,
          group_size_,
          rows_,
          columns_,
          nullptr,
          nullptr,
          nullptr};
}

qh_quanto_weight QWeight::abi() const {
  qh_quanto_weight w = description();
  w.data = data_.abi();
  w.scale = scale_.abi();
  w.shift = shift_ ? shift_.abi() : nullptr;
  return w;
}

std::vector<std::int64_t> QWeight::scale_shape() const {
  const std::int64_t groups = group_size_ == 0 ? rows_ : rows_ * (columns_ / group_size_);
  if (!is_affine(qtype_) && rows_ == 1) return {};
  if (is_affine(qtype_) && groups == 1) return {1, columns_};
  if (group_size_ != 0) return {groups, 1};
  std::vector<std::int64_t> shape(shape_.size(), 1);
  shape[0] = rows_;
  return shape;
}

std::vector<std::int64_t> QWeight::data_shape() const {
  if (group_size_ != 0)
    return {ceil_div(rows_ * (columns_ / group_size_), values_per_byte(qtype_)), group_size_};
  std::vector<std::int64_t> shape = shape_;
  if (is_affine(qtype_)) shape[0] = ceil_div(rows_, values_per_byte(qtype_));
  return shape;
}

void QWeight::quantize(const qh::Exec& exec, const KernelPackage& package, std::int32_t optimizer,
                       qh::TensorView dense, std::int64_t row_begin) {
  if (dense.elements() % columns_ != 0 || row_begin < 0 ||
      row_begin + dense.elements() / columns_ > rows_)
    throw Error(QH_ERR_VALUE, "a weight of shape " + shape_text(dense.shape()) +
                                  " does not fit a layer of shape " + shape_text(shape_));
  const std::int64_t count = dense.elements() / columns_;
  if (!data_) {
    data_ = exec.allocate(data_dtype(qtype_), data_shape());
    scale_ = exec.allocate(dense.dtype(), scale_shape());
    if (is_affine(qtype_)) shift_ = exec.allocate(dense.dtype(), scale_shape());
  }
  if (count == rows_) {
    const qh_quanto_weight w = abi();
    qh::check(package.table.quantize(package.self, exec.abi(), dense.abi(), optimizer, &w));
  } else {
    const RowsView data(data_, row_begin, count), scale(scale_, row_begin, count);
    qh_quanto_weight slice = description();
    slice.rows = count;
    slice.data = &data.tensor;
    slice.scale = &scale.tensor;
    qh::check(package.table.quantize(package.self, exec.abi(), dense.abi(), optimizer, &slice));
  }
  rows_quantized_ += count;
}

qh::Tensor QWeight::dequantize(const qh::Exec& exec, const KernelPackage& package) const {
  qh::Tensor out = exec.allocate(dtype(), shape_);
  const qh_quanto_weight w = abi();
  qh::check(package.table.dequantize(package.self, exec.abi(), &w, out.abi()));
  return out;
}

qh::Tensor QWeight::dequantize(const qh::Exec& exec, const KernelPackage& package,
                               float factor) const {
  if (factor == 1.0f) return dequantize(exec, package);
  const qh::Tensor scaled = exec.allocate(qh::kFloat32, scale_shape());
  const qh::TensorView view = scale_.view();
  for (std::int64_t i = 0; i < view.elements(); ++i)
    scaled.data<float>()[i] = factor * view.data<float>()[i];
  qh::Tensor out = exec.allocate(dtype(), shape_);
  qh_quanto_weight w = abi();
  w.scale = scaled.abi();
  qh::check(package.table.dequantize(package.self, exec.abi(), &w, out.abi()));
  return out;
}

std::vector<qh::ParamInfo> QWeight::parts(qh::Dtype dense) const {
  const double scale_bytes = dense.bits / 8.0;
  std::vector<qh::ParamInfo> out = {
      {std::string(data_key()), data_dtype(qtype_), data_shape(), 1.0},
      {"_scale", dense, scale_shape(), scale_bytes}};
  if (is_affine(qtype_)) out.push_back({"_shift", dense, scale_shape(), scale_bytes});
  return out;
}

bool QWeight::has_part(std::string_view name) const {
  return name == data_key() || name == "_scale" || (name == "_shift" && is_affine(qtype_));
}

void QWeight::set_part(const qh::Exec& exec, const KernelPackage&, std::string_view name,
                       qh::Tensor value) {
  const bool is_data = name == data_key();
  const std::vector<std::int64_t> expected = is_data ? data_shape() : scale_shape();
  if (value.view().shape() != expected)
    throw Error(QH_ERR_VALUE,
                "weight." + std::string(name) + " has shape " + shape_text(value.view().shape()) +
                    "; a weight of shape " + shape_text(shape_) + " in " +
                    std::to_string(bit_width(qtype_)) + " bits has " + shape_text(expected),
                "the checkpoint was quantized with other settings than its quanto_qmap.json says");
  if (is_data) {
    const qh::Dtype dtype = data_dtype(qtype_);
    if (value.view().dtype() != dtype)
      throw Error(QH_ERR_TYPE, "weight." + std::string(name) + " has element type " +
                                   std::string(qh::name_of(value.view().dtype())) + "; needed is " +
                                   std::string(qh::name_of(dtype)));
    data_ = exec.converted(std::move(value), dtype);
    rows_quantized_ = rows_;
    return;
  }
  const qh::Dtype dtype = value.view().dtype();
  if (!(name == "_shift" && dtype == qh::kUint8) && dtype != qh::kFloat32 &&
      dtype != qh::kFloat16 && dtype != qh::kBfloat16)
    throw Error(QH_ERR_TYPE, "weight." + std::string(name) + " has element type " +
                                 std::string(qh::name_of(dtype)));
  (name == "_scale" ? scale_ : shift_) = exec.converted(std::move(value), dtype);
}

void QWeight::emit_parts(const qh::Exec& exec, const qh::TensorEmitter& emit) const {
  emit("weight." + std::string(data_key()), exec.share(data_));
  emit("weight._scale", exec.share(scale_));
  if (shift_) emit("weight._shift", exec.share(shift_));
}

void QWeight::to_device(const qh::Exec& exec) {
  for (qh::Tensor* part : {&data_, &scale_, &shift_}) move_tensor(exec, *part);
}

}  // namespace quanthost::quanto

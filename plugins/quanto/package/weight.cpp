// Checks every description and tensor that reaches a kernel package.
#include "package/weight.hpp"

#include <string>

namespace quanthost::quanto {
namespace {

using qh::Error;

std::string shape_text(const qh_tensor& t) {
  std::string text = "[";
  for (std::int32_t i = 0; i < t.ndim; ++i) text += (i ? ", " : "") + std::to_string(t.shape[i]);
  return text + "]";
}

// rows * columns as a count of elements that any of our types can address.
std::int64_t checked_elements(std::int64_t rows, std::int64_t columns) {
  std::int64_t elements = 0;
  if (rows <= 0 || columns <= 0 || __builtin_mul_overflow(rows, columns, &elements) ||
      elements > INT64_MAX / 8)
    throw Error(QH_ERR_VALUE, "a weight of " + std::to_string(rows) + " x " +
                                  std::to_string(columns) + " elements cannot be quantized");
  return elements;
}

}  // namespace

bool Weight::last_axis() const {
  return axis == QH_QUANTO_AXIS_LAST || has_a_scale_for_each_value();
}

bool Weight::has_a_scale_for_each_value() const {
  return axis == QH_QUANTO_AXIS_FIRST && is_affine(qtype) && rows == 1 &&
         (group_size == 0 || group_size == columns);
}

std::int64_t Weight::scales() const {
  if (has_a_scale_for_each_value()) return columns;
  if (axis == QH_QUANTO_PER_TENSOR) return 1;
  const std::int64_t along = last_axis() ? columns : rows;
  return group_size == 0 ? along : along * ((rows * columns / along) / group_size);
}

qh_dtype to_abi(Dtype dtype) {
  return dtype == Dtype::f32 ? qh::kFloat32 : dtype == Dtype::f16 ? qh::kFloat16 : qh::kBfloat16;
}

void* data_of(const qh_tensor& tensor) {
  return static_cast<char*>(tensor.data) + tensor.byte_offset;
}

Dtype check_float(const qh_tensor& tensor, const char* what) {
  if (tensor.dtype == qh::kFloat32) return Dtype::f32;
  if (tensor.dtype == qh::kFloat16) return Dtype::f16;
  if (tensor.dtype == qh::kBfloat16) return Dtype::bf16;
  throw Error(QH_ERR_VALUE, std::string(what) + " has element type " +
                                std::string(qh::name_of(tensor.dtype)) +
                                "; it has to be float32, float16 or bfloat16");
}

void check_tensor(const qh_tensor& tensor, const char* what, qh_dtype dtype,
                  std::int64_t elements) {
  const qh::TensorView view(tensor);
  if (tensor.dtype != dtype)
    throw Error(QH_ERR_VALUE, std::string(what) + " has element type " +
                                  std::string(qh::name_of(tensor.dtype)) + "; needed is " +
                                  std::string(qh::name_of(dtype)));
  if (view.elements() != elements)
    throw Error(QH_ERR_VALUE, std::string(what) + " has shape " + shape_text(tensor) +
                                  "; needed are " + std::to_string(elements) + " elements");
  if (!view.is_contiguous()) throw Error(QH_ERR_VALUE, std::string(what) + " is not contiguous");
}

Weight check_description(const qh_quanto_weight& w) {
  if (w.qtype < QH_QUANTO_INT2 || w.qtype > QH_QUANTO_FLOAT8_E5M2)
    throw Error(QH_ERR_VALUE, "unknown quantized type " + std::to_string(w.qtype));
  const QType qtype = static_cast<QType>(w.qtype);
  if (w.axis != QH_QUANTO_AXIS_FIRST && w.axis != QH_QUANTO_AXIS_LAST &&
      (w.axis != QH_QUANTO_PER_TENSOR || is_affine(qtype)))
    throw Error(QH_ERR_VALUE, "axis parameter must be 0 (first axis) or -1 (last axis)",
                "one scale for a whole tensor exists for types of 8 bits only");
  const std::int64_t elements = checked_elements(w.rows, w.columns);
  if (w.group_size != 0) {
    if (!is_affine(qtype))
      throw Error(QH_ERR_VALUE, "group_size cannot be specified for 8-bit qtypes");
    const std::int64_t of_axis = elements / (w.axis == QH_QUANTO_AXIS_LAST ? w.columns : w.rows);
    if (w.group_size < 0 || of_axis % w.group_size != 0)
      throw Error(QH_ERR_VALUE, "Group size (" + std::to_string(w.group_size) +
                                    ") must be a divisor of (" + std::to_string(of_axis) + ")");
  }
  return {qtype,     Dtype::f32, w.axis,  w.group_size, w.rows,
          w.columns, false,      nullptr, nullptr,      nullptr};
}

qh_quanto_layout layout_of(const Weight& w) {
  qh_quanto_layout out{sizeof(qh_quanto_layout), 0, {w.rows, w.columns}, {0, 0}};
  const std::int64_t scales = w.scales(), values = w.values_of_a_scale();
  if (w.axis != QH_QUANTO_PER_TENSOR) {
    out.scale_shape[0] = w.last_axis() ? 1 : scales;
    out.scale_shape[1] = w.last_axis() ? scales : 1;
  }
  if (is_affine(w.qtype)) {
    out.data_shape[0] = ceil_div(w.last_axis() ? values : scales, values_per_byte(w.qtype));
    out.data_shape[1] = w.last_axis() ? scales : values;
  }
  return out;
}

Weight check_weight(const qh_quanto_weight& theirs) {
  Weight w = check_description(theirs);
  if (!theirs.data || !theirs.scale)
    throw Error(QH_ERR_VALUE, "a quantized weight needs data and scale");
  const qh_quanto_layout layout = layout_of(w);
  w.dtype = check_float(*theirs.scale, "scale");
  check_tensor(*theirs.scale, "scale", to_abi(w.dtype), w.scales());
  check_tensor(*theirs.data, "data", data_dtype(w.qtype),
               layout.data_shape[0] * layout.data_shape[1]);
  if (is_affine(w.qtype)) {
    if (!theirs.shift)
      throw Error(QH_ERR_VALUE, "shift must be specified for qtypes lower than 8-bit");
    w.integer_shift = theirs.shift->dtype == qh::kUint8;
    check_tensor(*theirs.shift, "shift", w.integer_shift ? qh::kUint8 : to_abi(w.dtype),
                 w.scales());
  } else if (theirs.shift) {
    throw Error(QH_ERR_VALUE, "shift cannot be specified for 8-bit qtypes");
  }
  w.data = theirs.data;
  w.scale = theirs.scale;
  w.shift = theirs.shift;
  return w;
}

}  // namespace quanthost::quanto

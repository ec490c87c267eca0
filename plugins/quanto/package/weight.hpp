// A qh_quanto_weight taken apart and checked: the one place where a provider trusts the sizes it
// was given.
#pragma once

#include <quanthost/packages/quanto_kernels.h>

#include <quanthost/plugin/tensor.hpp>

#include "element_type.hpp"
#include "format.hpp"

namespace quanthost::quanto {

struct Weight {
  QType qtype;
  Dtype dtype;
  int axis;
  std::int64_t group_size;     // 0: none
  std::int64_t rows, columns;  // of the dense matrix
  bool integer_shift;
  const qh_tensor* data;
  const qh_tensor* scale;
  const qh_tensor* shift;

  // The matrix with one scale for each row (AXIS_FIRST) or column (AXIS_LAST).
  std::int64_t scales() const;
  std::int64_t values_of_a_scale() const { return rows * columns / scales(); }
  // One scale for each column. So it is too for 2 and 4 bits when the first axis holds a single
  // row: there optimum-quanto reduces over that axis, which leaves scale 0 and the value itself in
  // shift.
  bool last_axis() const;
  bool has_a_scale_for_each_value() const;
};

// Only the description: qtype, axis, group size and shape, checked for range and overflow.
Weight check_description(const qh_quanto_weight& weight);
// The shapes that its tensors have.
qh_quanto_layout layout_of(const Weight& weight);
// With its tensors, whose types and shapes are checked against the description.
Weight check_weight(const qh_quanto_weight& weight);

// float32, float16 or bfloat16, or an error that names `what`.
Dtype check_float(const qh_tensor& tensor, const char* what);
// Contiguous, of this type, with this many elements.
void check_tensor(const qh_tensor& tensor, const char* what, qh_dtype dtype, std::int64_t elements);
qh_dtype to_abi(Dtype dtype);
void* data_of(const qh_tensor& tensor);

}  // namespace quanthost::quanto

/* qh.quanto.kernels/1: the function table of a `quanto` kernel package, for one kind of device.
 *
 * A provider that claims version V stores the bytes that optimum-quanto V stores, and dequantizes
 * to the same bits. Matrix products are held to a bound: they sum in float32, in an order of the
 * provider's own that does not depend on the number of threads.
 *
 * All tensors are contiguous and lie on exec's device. "D" is the element type of the dense weight:
 * float32, float16 or bfloat16; scale has type D too. Failures are recorded with the host
 * (QH_ERR_VALUE for shapes, types and ranges that do not fit, QH_ERR_NOT_IMPLEMENTED for what the
 * provider leaves out), and outputs are then undefined.
 */
#ifndef QUANTHOST_PACKAGES_QUANTO_KERNELS_H
#define QUANTHOST_PACKAGES_QUANTO_KERNELS_H

#include <quanthost/abi/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QH_QUANTO_KERNELS_ID "qh.quanto.kernels/1"

enum {
  QH_QUANTO_INT2 = 1,
  QH_QUANTO_INT4 = 2,
  QH_QUANTO_INT8 = 3,
  QH_QUANTO_FLOAT8_E4M3FN = 4,
  QH_QUANTO_FLOAT8_E4M3FNUZ = 5,
  QH_QUANTO_FLOAT8_E5M2 = 6
};

/* What a scale belongs to. A dense weight of more than two dimensions is seen as a matrix: its
 * first dimension by the rest (FIRST), or the rest by its last dimension (LAST). */
enum {
  QH_QUANTO_AXIS_FIRST = 0, /* a row: scale [rows, 1] */
  QH_QUANTO_AXIS_LAST = -1, /* a column: scale [1, columns] */
  QH_QUANTO_PER_TENSOR = 1  /* 8 bits only: scale is a scalar */
};

/* A quantized weight. `rows` x `columns` is the dense matrix. With group_size g, each row
 * (AXIS_FIRST) or column (AXIS_LAST) is cut into groups of g, and a group has the place of a row or
 * column: group matrices are [rows * columns / g, g] or [g, rows * columns / g], as
 * optimum-quanto's group() arranges them.
 *
 *     8 bits     data is int8 or float8, [rows, columns]; no shift
 *     2, 4 bits  data is uint8, the group matrix packed along its first dimension R to
 *                ceil(R / v), v = 8 / bits:
 *                byte[r][c] = OR of value[i * ceil(R / v) + r][c] << (bits * i);
 *                rows beyond R count as 0
 *     shift      type D: value = RN(RN(scale * data) - shift);
 *                uint8, a zero point: value = RN(scale * (data - shift))
 *
 * With 2 or 4 bits, AXIS_FIRST and R = 1, optimum-quanto reduces over that one row: scale and shift
 * are [1, columns], each scale is 0 and each shift the negated value.
 */
typedef struct qh_quanto_weight {
  uint32_t struct_size;
  int32_t qtype;
  int32_t axis;
  uint32_t reserved;
  int64_t group_size; /* 0: none */
  int64_t rows;
  int64_t columns;
  const qh_tensor* data;
  const qh_tensor* scale;
  const qh_tensor* shift; /* NULL for 8 bits */
} qh_quanto_weight;

/* Sizes of the three tensors of a weight, filled by `layout`. */
typedef struct qh_quanto_layout {
  uint32_t struct_size;
  uint32_t reserved;
  int64_t data_shape[2];
  int64_t scale_shape[2]; /* of shift too; {0, 0} for a scalar */
} qh_quanto_layout;

enum {
  QH_QUANTO_OPTIMIZER_DEFAULT = 0, /* absmax for 8 bits, minimum and maximum for 2 and 4 */
  /* 2 and 4 bits with a float shift: half-quadratic refinement of the shift. */
  QH_QUANTO_OPTIMIZER_HQQ = 1
};

typedef struct qh_quanto_kernels {
  uint32_t struct_size;
  uint32_t reserved;

  /* The shapes that a weight's tensors have; only qtype, axis, group_size, rows and columns are
   * read. [any thread] */
  qh_status (*layout)(qh_package* self, const qh_quanto_weight* weight, qh_quanto_layout* out);

  /* Finds scale and shift for `base` (D, rows * columns elements) and stores all three. [any
   * thread] */
  qh_status (*quantize)(qh_package* self, const qh_exec* exec, const qh_tensor* base,
                        int32_t optimizer, const qh_quanto_weight* out);
  /* The same with the scale and shift that `out` already holds; quantizes activations too
   * (PER_TENSOR). [any thread] */
  qh_status (*quantize_with)(qh_package* self, const qh_exec* exec, const qh_tensor* base,
                             const qh_quanto_weight* out);
  /* Dense values into `out` (D, rows * columns elements). [any thread] */
  qh_status (*dequantize)(qh_package* self, const qh_exec* exec, const qh_quanto_weight* weight,
                          const qh_tensor* out);

  /* uint8 values [R, C] to the packed layout above and back. bits is 2 or 4. [any thread] */
  qh_status (*pack)(qh_package* self, const qh_exec* exec, int32_t bits, const qh_tensor* values,
                    const qh_tensor* packed);
  qh_status (*unpack)(qh_package* self, const qh_exec* exec, int32_t bits, const qh_tensor* packed,
                      const qh_tensor* values);

  /* The largest |x|; NaN when x holds one. Waits for the device. [any thread] */
  qh_status (*absmax)(qh_package* self, const qh_exec* exec, const qh_tensor* x, float* out);

  /* out[tokens, rows] = RN(x[tokens, columns] · Wᵀ) + bias. The weight has AXIS_FIRST or
   * PER_TENSOR. x, bias (or NULL) and out have one type of float32, float16, bfloat16; leading
   * dimensions of x are tokens. [any thread] */
  qh_status (*linear)(qh_package* self, const qh_exec* exec, const qh_tensor* x,
                      const qh_quanto_weight* weight, const qh_tensor* bias, const qh_tensor* out);
  /* The same for 8-bit activations x = x_scale * data. int8 by int8 sums exactly in 32 bits and
   * multiplies once by RN(x_scale * scale). bias and out have type D. [any thread] */
  qh_status (*linear_quantized)(qh_package* self, const qh_exec* exec, const qh_tensor* x_data,
                                float x_scale, const qh_quanto_weight* weight,
                                const qh_tensor* bias, const qh_tensor* out);
  /* grad_input[tokens, columns] = grad_output[tokens, rows] · W. [any thread] */
  qh_status (*backward_input)(qh_package* self, const qh_exec* exec, const qh_tensor* grad_output,
                              const qh_quanto_weight* weight, const qh_tensor* grad_input);
} qh_quanto_kernels;

#ifdef __cplusplus
}
#endif
#endif

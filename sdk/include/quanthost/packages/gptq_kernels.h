/* qh.gptq.kernels/1: the function table of an `auto_gptq` kernel package, for one kind of device.
 *
 * A provider that claims version V dequantizes to the bits that auto-gptq V does. Matrix products
 * are held to a bound: they sum in float32, in an order of the provider's own that depends neither
 * on the number of threads nor on chance.
 *
 * All pointers are to contiguous memory on exec's device, with any alignment that their element
 * type allows. Work is queued on exec's stream and not waited for, but for sort_rows, which ends
 * with its work done. On the CPU g_idx and input_order are checked, elsewhere the caller answers
 * for them. Failures are recorded with the host (QH_ERR_VALUE for sizes, types and ranges that do
 * not fit, QH_ERR_NOT_IMPLEMENTED for what the provider leaves out), and outputs are then
 * undefined.
 */
#ifndef QUANTHOST_PACKAGES_GPTQ_KERNELS_H
#define QUANTHOST_PACKAGES_GPTQ_KERNELS_H

#include <quanthost/abi/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QH_GPTQ_KERNELS_ID "qh.gptq.kernels/1"

/* A quantized matrix of `inputs` rows and `outputs` columns:
 *   W[k][n] = scales[g][n] * (code[k][n] - zero[g][n]), rounded once to the type of the scales,
 * with g = g_idx[k]. Codes and zeros are little-endian bit streams of `bits` each, cut into 32-bit
 * words; w(c) = ceil(c * bits / 32) words hold c of them. */
typedef struct qh_gptq_weight {
  uint32_t struct_size;
  int32_t bits; /* 2, 3, 4 or 8 */
  int64_t inputs;
  int64_t outputs;
  int64_t groups;
  const uint32_t* qweight; /* [w(inputs), outputs]: a stream down each column */
  const uint32_t* qzeros;  /* [groups, w(outputs)]: a stream along each row; a zero is stored as it
                            * is ("gptq_v2") */
  const void* scales;      /* [groups, outputs] of scale_dtype: float32, float16 or bfloat16 */
  const int32_t* g_idx;    /* [inputs]: the group of each stored row */
  /* NULL, or [inputs]: stored row i belongs to input input_order[i], a permutation. */
  const int32_t* input_order;
  qh_dtype scale_dtype;
  uint32_t reserved;
} qh_gptq_weight;

typedef struct qh_gptq_product_args {
  uint32_t struct_size;
  qh_dtype dtype; /* of input and output: float32, float16 or bfloat16 */
  const void* input;
  const void* bias; /* [outputs] of bias_dtype, or NULL; forward only */
  void* output;
  int64_t batch;
  qh_dtype bias_dtype;
  uint32_t reserved;
} qh_gptq_product_args;

/* How a row's group gets its scale and zero: over the range of its values with 0, or by the search
 * of the shrunk range whose summed |error|^mse_exponent is least (0: none). */
typedef struct qh_gptq_grid_options {
  uint32_t struct_size;
  int32_t bits;
  int32_t symmetric;
  float mse_exponent;
} qh_gptq_grid_options;

/* GPTQ's sweep over the columns of a weight, in the order of the sweep. Float32. */
typedef struct qh_gptq_sweep_args {
  uint32_t struct_size;
  int32_t fixed_grids; /* scales and zeros are read, not found on the way */
  int64_t rows;
  int64_t columns;
  int64_t group_size; /* columns of a group; the last one may be short */
  int64_t groups;
  const qh_gptq_grid_options* grid;
  float* weight;           /* [rows, columns], destroyed */
  const float* upper;      /* [columns, columns]: U with U^T U = H^-1 */
  const int32_t* group_of; /* [columns] */
  float* scales;           /* [rows, groups] */
  uint8_t* zeros;          /* [rows, groups] */
  uint8_t* codes;          /* [rows, columns] */
  float* losses;           /* [rows]: half the sum of squared errors over U's diagonal */
} qh_gptq_sweep_args;

typedef struct qh_gptq_kernels {
  uint32_t struct_size;
  uint32_t flags; /* 0 */

  /* All [any thread]. */

  /* Orders the rows of a weight in natural order by group, rows of one group in their own order:
   * done once at load, it spares every product with activation order a jump between groups. The
   * outputs have the sizes of qweight, g_idx and input_order. */
  qh_status (*sort_rows)(qh_package* self, const qh_exec* exec, const qh_gptq_weight* weight,
                         uint32_t* qweight, int32_t* g_idx, int32_t* input_order);
  /* The dense matrix [inputs, outputs] in the order of the inputs, converted from the type of the
   * scales to `dtype`: float32, float16 or bfloat16. */
  qh_status (*dequantize)(qh_package* self, const qh_exec* exec, const qh_gptq_weight* weight,
                          qh_dtype dtype, void* out);
  /* output [batch, outputs] = input [batch, inputs] · W + bias, rounded once. */
  qh_status (*forward)(qh_package* self, const qh_exec* exec, const qh_gptq_weight* weight,
                       const qh_gptq_product_args* args);
  /* output [batch, inputs] = input [batch, outputs] · Wᵀ: the gradient of forward's input. */
  qh_status (*backward_input)(qh_package* self, const qh_exec* exec, const qh_gptq_weight* weight,
                              const qh_gptq_product_args* args);

  /* Quantizing on exec's device. NULL where the provider leaves it to the quantizer's own code. */

  /* hessian [columns, columns], float32 = keep * hessian + factor * X^T X, with X [tokens, columns]
   * of float32, float16 or bfloat16, whose products are exact. */
  qh_status (*add_to_hessian)(qh_package* self, const qh_exec* exec, qh_dtype dtype,
                              const void* inputs, int64_t tokens, int64_t columns, float keep,
                              float factor, float* hessian);
  /* Scales and zeros [rows, groups] of consecutive groups of a float32 weight [rows, columns]. */
  qh_status (*find_grids)(qh_package* self, const qh_exec* exec,
                          const qh_gptq_grid_options* options, const float* weight, int64_t rows,
                          int64_t columns, int64_t group_size, float* scales, uint8_t* zeros);
  qh_status (*sweep)(qh_package* self, const qh_exec* exec, const qh_gptq_sweep_args* args);
} qh_gptq_kernels;

#ifdef __cplusplus
}
#endif
#endif

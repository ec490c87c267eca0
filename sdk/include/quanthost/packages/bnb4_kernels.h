/* qh.bnb4.kernels/1: the function table of a `bitsandbytes` kernel package, for one kind of device.
 *
 * A provider that claims version V stores the bytes that bitsandbytes V stores on its kind of
 * device, and dequantizes to the same bits. Matrix products are held to a bound: they sum in
 * float32, in an order of the provider's own that depends neither on the number of threads nor on
 * chance.
 *
 * All pointers are to contiguous memory on exec's device, with any alignment that their element
 * type allows. Work is queued on exec's stream and not waited for. Failures are recorded with the
 * host (QH_ERR_VALUE for sizes, types and ranges that do not fit, QH_ERR_NOT_IMPLEMENTED for what
 * the provider leaves out), and outputs are then undefined.
 *
 * The format. A weight's elements are flattened row-major and cut into blocks; the last one may be
 * short. A block's scale is its largest magnitude, an element's code the table entry nearest to
 * element / scale. Byte i holds the codes of the elements 2i (high nibble) and 2i + 1.
 */
#ifndef QUANTHOST_PACKAGES_BNB4_KERNELS_H
#define QUANTHOST_PACKAGES_BNB4_KERNELS_H

#include <quanthost/abi/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QH_BNB4_KERNELS_ID "qh.bnb4.kernels/1"

enum { QH_BNB4_NF4 = 1, QH_BNB4_FP4 = 2 };

/* bitsandbytes decides codes in one way on the CPU and in another on a GPU. The two differ for FP4
 * near its thresholds and around zero, for short last blocks, for blocks of zeros, and for 8-bit
 * codes of small values. */
enum {
  QH_BNB4_RULE_OWN = 0, /* the one of this kind of device */
  QH_BNB4_RULE_CPU = 1,
  QH_BNB4_RULE_CUDA = 2
};

/* Block scales, plain or quantized again ("double quantization"). It lies within qh_bnb4_weight, so
 * its size is frozen. */
typedef struct qh_bnb4_scales {
  uint32_t struct_size;
  uint32_t reserved;
  const float* absmax;        /* one for each block; NULL: nested */
  const uint8_t* codes;       /* nested: one for each block */
  const float* nested_absmax; /* nested: one for each `nested_blocksize` codes */
  const float* nested_map;    /* nested: 256 values */
  /* Nested: one value; scale = map[code] * nested_absmax + offset, rounded after each step. */
  const float* offset;
  int64_t nested_blocksize;
} qh_bnb4_scales;

/* A quantized matrix of `rows` outputs and `columns` inputs. */
typedef struct qh_bnb4_weight {
  uint32_t struct_size;
  int32_t quant_type;
  int64_t rows;
  int64_t columns;
  int64_t blocksize; /* a power of two from 32 to 4096 */
  const uint8_t* packed;
  qh_bnb4_scales scales;
} qh_bnb4_weight;

typedef struct qh_bnb4_quantize_args {
  uint32_t struct_size;
  int32_t quant_type;
  const void* source; /* `count` elements of `dtype`: float32, float16 or bfloat16 */
  qh_dtype dtype;
  int32_t rule;
  int64_t count;
  int64_t blocksize;
  uint8_t* packed; /* ceil(count / 2) */
  float* absmax;   /* ceil(count / blocksize) */
} qh_bnb4_quantize_args;

typedef struct qh_bnb4_forward_args {
  uint32_t struct_size;
  uint32_t reserved;
  const void* input; /* [batch, columns] of `dtype`: float32, float16 or bfloat16 */
  const void* bias;  /* [rows] of `bias_dtype`, or NULL */
  void* output;      /* [batch, rows] of `dtype` */
  int64_t batch;
  qh_dtype dtype;
  qh_dtype bias_dtype;
  /* Input and bias are rounded to this type, the weight is dequantized at least as exactly as to
   * it, and the result is rounded to it before it is converted to `dtype`. */
  qh_dtype compute_dtype;
  uint32_t reserved2;
} qh_bnb4_forward_args;

typedef struct qh_bnb4_backward_args {
  uint32_t struct_size;
  uint32_t reserved;
  const void* grad_output; /* [batch, rows] of `dtype` */
  void* grad_input;        /* [batch, columns] of `dtype`: grad_output * weight */
  int64_t batch;
  qh_dtype dtype;
  uint32_t reserved2;
} qh_bnb4_backward_args;

typedef struct qh_bnb4_kernels {
  uint32_t struct_size;
  uint32_t flags; /* 0 */

  /* All [any thread]. */
  qh_status (*quantize_4bit)(qh_package* self, const qh_exec* exec,
                             const qh_bnb4_quantize_args* args);
  /* `out` takes rows * columns elements of `dtype`: float32, float16 or bfloat16. */
  qh_status (*dequantize_4bit)(qh_package* self, const qh_exec* exec, const qh_bnb4_weight* weight,
                               qh_dtype dtype, void* out);
  /* Blockwise quantization to the signed dynamic map, any positive blocksize. */
  qh_status (*quantize_8bit)(qh_package* self, const qh_exec* exec, const float* values,
                             int64_t count, int64_t blocksize, int32_t rule, uint8_t* codes,
                             float* absmax);
  qh_status (*dequantize_8bit)(qh_package* self, const qh_exec* exec, const uint8_t* codes,
                               const float* absmax, const float* map, int64_t count,
                               int64_t blocksize, float* out);
  /* Double quantization: the scales' mean goes to *offset, and the rest is quantized to 8 bits in
   * blocks of 256. `absmax` is left as it is; nested_absmax takes ceil(count / 256) values. */
  qh_status (*quantize_scales)(qh_package* self, const qh_exec* exec, const float* absmax,
                               int64_t count, int32_t rule, uint8_t* codes, float* nested_absmax,
                               float* offset);
  qh_status (*forward)(qh_package* self, const qh_exec* exec, const qh_bnb4_weight* weight,
                       const qh_bnb4_forward_args* args);
  qh_status (*backward_input)(qh_package* self, const qh_exec* exec, const qh_bnb4_weight* weight,
                              const qh_bnb4_backward_args* args);
} qh_bnb4_kernels;

#ifdef __cplusplus
}
#endif
#endif

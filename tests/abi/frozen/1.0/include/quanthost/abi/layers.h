/* qh.layers/1: layers in floats that a module class may need around its quantized weight and that
 * no method computes in its own way: the host's implementation, on whatever device the tensors lie.
 */
#ifndef QUANTHOST_ABI_LAYERS_H
#define QUANTHOST_ABI_LAYERS_H

#include <quanthost/abi/services.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qh_conv2d {
  uint32_t struct_size;
  uint32_t has_bias;
  int64_t in_channels, out_channels, groups;
  int64_t kernel[2], stride[2], padding[2], dilation[2]; /* height, width */
} qh_conv2d;

#define QH_LAYERS_ID "qh.layers/1"
typedef struct qh_layers_api {
  uint32_t struct_size;
  uint32_t reserved;
  /* All tensors are contiguous and of one element type. Results are those of the host's own layers,
   * bit for bit. */
  /* Over the last dimension; weight and bias may be NULL. [any thread] */
  qh_status (*layer_norm)(const qh_exec* exec, const qh_tensor* x, const qh_tensor* weight,
                          const qh_tensor* bias, double eps, const qh_tensor* out);
  /* x is [batch, in, height, width], weight [out, in / groups, kernel height, kernel width]; bias
   * may be NULL. [any thread] */
  qh_status (*conv2d)(const qh_exec* exec, const qh_tensor* x, const qh_tensor* weight,
                      const qh_tensor* bias, const qh_conv2d* geometry, const qh_tensor* out);
  /* What a Conv2d of the model is; QH_ERR_KEY when `name` is none. [load thread] */
  qh_status (*describe_conv2d)(qh_model* model, qh_str name, qh_conv2d* out);
} qh_layers_api;

#ifdef __cplusplus
}
#endif
#endif

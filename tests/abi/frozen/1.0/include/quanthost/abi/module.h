/* A quantized layer as a module class: a table of functions over a state that the plugin made. The
 * host puts such a module into the model (qh.model/1 replace_module), calls forward, wraps
 * backward_input as an autograd function, moves, saves and destroys it. The table's address names
 * the class: one constant table for each, in the library. A module is destroyed before the
 * quantizer that made it. */
#ifndef QUANTHOST_ABI_MODULE_H
#define QUANTHOST_ABI_MODULE_H

#include <quanthost/abi/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qh_module_info {
  uint32_t struct_size;
  uint32_t has_bias;
  int64_t in_features;  /* last dimension of the input; 0 when the class is no linear map */
  int64_t out_features; /* last dimension of the output */
  qh_dtype dtype;       /* of the weight before quantization */
  uint32_t loaded;      /* 1 once the module has all of its parts and forward may be called */
} qh_module_info;

typedef struct qh_param_info {
  uint32_t struct_size;
  uint32_t is_buffer;
  qh_str name; /* within the module: "weight", "bias", "weight.absmax" */
  qh_dtype dtype;
  int32_t ndim;
  const int64_t* shape;
  double element_bytes; /* bytes one element of the checkpoint's tensor takes once loaded */
} qh_param_info;

typedef struct qh_param_info_sink {
  void* ctx;
  qh_status (*emit)(void* ctx, const qh_param_info* info);
} qh_param_info_sink;

typedef struct qh_module_memory {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t weight_bytes;   /* quantized values */
  uint64_t overhead_bytes; /* scales, zeros, tables, bias */
  uint64_t runtime_bytes;  /* layouts and caches made for speed, beyond the above */
} qh_module_memory;

enum {
  /* Output shape = input shape with the last dimension out_features, output dtype = input dtype. */
  QH_MODULE_LINEAR = 1
};

typedef struct qh_module_class {
  uint32_t struct_size;
  uint32_t flags;
  qh_str name; /* the Python class, e.g. "Linear4bit" */
  /* Required. Called once, also for a module that was never filled. [load thread] */
  void (*destroy)(qh_module* self);
  /* Required. [any thread] */
  qh_status (*describe)(qh_module* self, qh_module_info* out);
  /* The parameters as the model sees them (what a checkpoint of the unquantized or quantized model
   * would hold under this module's name). Required. [load thread] */
  qh_status (*parameters)(qh_module* self, qh_param_info_sink out);
  /* Sets a parameter as it is, no quantization; takes the tensor over. Default: QH_ERR_KEY. [load
   * thread] */
  qh_status (*set_param)(qh_module* self, const qh_exec* exec, qh_str name,
                         qh_managed_tensor* value);
  /* A parameter as state_dict would give it. Default: QH_ERR_KEY. [load thread] */
  qh_status (*get_param)(qh_module* self, const qh_exec* exec, qh_str name,
                         qh_managed_tensor** out);
  /* Shape and element type of the output for inputs of this shape: fills ndim, dtype and shape
   * (which has room for 8). Default with QH_MODULE_LINEAR: as that flag says; else
   * QH_ERR_NOT_IMPLEMENTED. [any thread] */
  qh_status (*output_info)(qh_module* self, const qh_tensor* inputs, uint32_t input_count,
                           qh_tensor* out);
  /* Fills the preallocated, contiguous output. Inputs are contiguous. Required. [any thread] */
  qh_status (*forward)(qh_module* self, const qh_exec* exec, const qh_tensor* inputs,
                       uint32_t input_count, const qh_tensor* output);
  /* Gradient with respect to the first input. Default: QH_ERR_NOT_IMPLEMENTED. [any thread] */
  qh_status (*backward_input)(qh_module* self, const qh_exec* exec, const qh_tensor* grad_output,
                              const qh_tensor* input, const qh_tensor* grad_input);
  /* Moves all state to exec's device. Default: QH_ERR_NOT_IMPLEMENTED. [load thread] */
  qh_status (*to_device)(qh_module* self, const qh_exec* exec);
  /* Emits the tensors that a checkpoint stores for this module, names within the module. Required.
   * [load thread] */
  qh_status (*state_dict)(qh_module* self, const qh_exec* exec, qh_tensor_sink out);
  /* The dense weight, in the layout of the layer it replaced ([out, in]). Default:
   * QH_ERR_NOT_IMPLEMENTED. [any thread] */
  qh_status (*dequantize)(qh_module* self, const qh_exec* exec, qh_dtype dtype,
                          qh_managed_tensor** out);
  /* What the module takes now; not filled yet: what it will take (0: unknown). Default: what
   * state_dict emits. [any thread] */
  qh_status (*memory_bytes)(qh_module* self, qh_module_memory* out);
  /* Called once when everything is loaded and on its device, before the first forward. Default:
   * nothing. [load thread] */
  qh_status (*prepare)(qh_module* self, const qh_exec* exec);
} qh_module_class;

#ifdef __cplusplus
}
#endif
#endif

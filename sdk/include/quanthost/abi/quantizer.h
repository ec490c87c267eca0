/* The quantizer: transformers' HfQuantizer, slot by slot, in the order in which a load calls them.
 * docs/hf-mapping.md maps these names to transformers' own, old and new. */
#ifndef QUANTHOST_ABI_QUANTIZER_H
#define QUANTHOST_ABI_QUANTIZER_H

#include <quanthost/abi/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One option of the method, typed as the manifest declares it. */
enum {
  QH_CONFIG_NULL = 0,
  QH_CONFIG_BOOL = 1,
  QH_CONFIG_INT = 2,
  QH_CONFIG_FLOAT = 3,
  QH_CONFIG_STRING = 4, /* dtype fields too: "bfloat16" */
  QH_CONFIG_JSON = 5    /* lists and maps: text holds their JSON */
};
typedef struct qh_config_field {
  qh_str name;
  int32_t type;
  int32_t is_default; /* 1: nobody set it, the manifest's default stands */
  int64_t integer;    /* BOOL (0 or 1) and INT */
  double number;      /* FLOAT, and INT widened */
  qh_str text;        /* STRING and JSON */
} qh_config_field;

enum { QH_CREATE_PRE_QUANTIZED = 1 };
typedef struct qh_create_args {
  uint32_t struct_size;
  uint32_t flags;
  qh_session* session; /* lives until destroy; first argument of qh.packages/1 and qh.progress/1 */
  qh_str method;
  /* Every field the manifest declares, merged, and then unknown ones as JSON. */
  const qh_config_field* fields;
  uint64_t field_count;
  qh_str config_json; /* the merged config as it stands in the checkpoint, unknown keys kept */
} qh_create_args;

enum {
  QH_ENV_FROM_TF = 1,
  QH_ENV_FROM_FLAX = 2,
  QH_ENV_HAS_DEVICE_MAP = 4,
  QH_ENV_DEVICE_MAP_INFERRED = 8 /* the second call, after the map was inferred */
};
typedef struct qh_environment {
  uint32_t struct_size;
  uint32_t flags;
  qh_dtype torch_dtype; /* as the user asked; none when not said */
  uint32_t reserved;
  /* Module name ("" is the whole model) -> device name ("cpu", "cuda:0", "disk"). */
  qh_pair_list device_map;
  qh_str_list devices; /* the devices that can be used here, best first; always holds "cpu" */
} qh_environment;

enum { QH_SEVERITY_INFO = 0, QH_SEVERITY_WARNING = 1 };
typedef struct qh_diagnostic_sink {
  void* ctx;
  qh_status (*emit)(void* ctx, int32_t severity, qh_str message, qh_str hint);
} qh_diagnostic_sink;

typedef struct qh_memory_limit {
  qh_str device;
  double bytes; /* a double as in transformers, where a plugin takes 0.9 of it */
} qh_memory_limit;
typedef struct qh_memory_sink {
  void* ctx;
  qh_status (*emit)(void* ctx, qh_str device, double bytes);
} qh_memory_sink;

typedef struct qh_dtype_sink {
  void* ctx;
  qh_status (*emit)(void* ctx, qh_str name, qh_dtype dtype);
} qh_dtype_sink;

enum { QH_PARAM_MULTI_DEVICE = 1 /* the device map has more than one device */ };
typedef struct qh_param_query {
  uint32_t struct_size;
  uint32_t flags;
  qh_str name; /* full name in the checkpoint, e.g. "model.layers.0.mlp.up_proj.weight" */
  const qh_tensor* value; /* shape and dtype as stored; data is NULL */
  qh_str param_device;    /* where the device map puts it */
  qh_pair_list device_map;
} qh_param_query;

typedef struct qh_param_args {
  uint32_t struct_size;
  uint32_t flags;
  qh_str name;
  /* On exec's device; the quantizer owns it from the call on, whatever it returns. */
  qh_managed_tensor* value;
  qh_str target_device; /* where the result has to live: exec's device, or "cpu" for offload */
  /* Rows [row_begin, row_begin + row_count) of the parameter, in order; all of them unless
   * row_granularity allowed a split. */
  int64_t row_begin;
  int64_t row_count;
  int64_t total_rows;
  qh_str_sink consumed_keys; /* emit each checkpoint key that was used besides `name` */
} qh_param_args;

typedef struct qh_before_load_args {
  uint32_t struct_size;
  uint32_t flags;
  qh_pair_list device_map; /* empty when it is still to be inferred */
  qh_str_list keep_in_fp32_modules;
} qh_before_load_args;

enum {
  /* create_quantized_param may run on several threads at once, for different parameters. */
  QH_QUANTIZER_CONCURRENT = 1
};

typedef struct qh_quantizer_api {
  uint32_t struct_size;
  uint32_t flags;

  /* ---- life ---- */
  /* __init__. plugin is what the entry returned. Required. [load thread] */
  qh_status (*create)(qh_plugin* plugin, const qh_create_args* args, qh_quantizer** out);
  /* Every create that returned QH_OK is followed by one destroy. Required. [load thread] */
  void (*destroy)(qh_quantizer* self);

  /* ---- decisions before the model exists, all [load thread] ---- */
  /* Fails when this cannot work here; warnings and hints go to the sink. Called again after a map
   * was inferred. Default: nothing to report. */
  qh_status (*validate_environment)(qh_quantizer* self, const qh_environment* environment,
                                    qh_diagnostic_sink out);
  /* The load dtype; `requested` is none when the user said nothing. Default: unchanged. */
  qh_status (*update_torch_dtype)(qh_quantizer* self, qh_dtype requested, qh_dtype* out);
  /* Emits a whole new map, or nothing to leave it. has_map is 0 when the user gave none. Default:
   * unchanged. */
  qh_status (*update_device_map)(qh_quantizer* self, int32_t has_map, qh_pair_list map,
                                 qh_pair_sink out);
  /* The element type that sizes are computed with while a map is inferred. Default: unchanged. */
  qh_status (*adjust_target_dtype)(qh_quantizer* self, qh_dtype dtype, qh_dtype* out);
  /* Emits every limit again, changed or not. Default: unchanged. */
  qh_status (*adjust_max_memory)(qh_quantizer* self, const qh_memory_limit* limits, uint64_t count,
                                 qh_memory_sink out);

  /* ---- the model exists, without memory, all [load thread] ---- */
  /* Replaces modules. Default: nothing (the host marks the model quantized either way). */
  qh_status (*process_before_load)(qh_quantizer* self, const qh_exec* exec, qh_model* model,
                                   const qh_before_load_args* args);
  /* Emits the keys that stay reported as missing, unexpected, expected. Default: all of them. */
  qh_status (*update_missing_keys)(qh_quantizer* self, qh_model* model, qh_str_list keys,
                                   qh_str prefix, qh_str_sink out);
  qh_status (*update_unexpected_keys)(qh_quantizer* self, qh_model* model, qh_str_list keys,
                                      qh_str prefix, qh_str_sink out);
  qh_status (*update_expected_keys)(qh_quantizer* self, qh_model* model, qh_str_list expected,
                                    qh_str_list loaded, qh_str_sink out);
  /* Parameters that keep another element type than the target one, for sizing. Default: those whose
   * name contains an entry of modules_to_not_convert keep `dtype`. */
  qh_status (*get_special_dtypes_update)(qh_quantizer* self, qh_model* model, qh_dtype dtype,
                                         qh_dtype_sink out);
  /* Bytes one element takes once loaded, scales and the like included; may be a fraction. `param`
   * has no data. Default, and for a negative answer: the target dtype's size. */
  qh_status (*param_element_size)(qh_quantizer* self, qh_model* model, qh_str name,
                                  const qh_tensor* param, double* out);

  /* ---- each parameter, in file order ---- */
  /* Does this checkpoint tensor need create_quantized_param? Default: 0. [load thread] */
  qh_status (*check_quantized_param)(qh_quantizer* self, qh_model* model,
                                     const qh_param_query* query, int32_t* out);
  /* 0: the parameter comes whole. n: it may come in slices of a multiple of n rows. Default: 0.
   * [load thread] */
  qh_status (*row_granularity)(qh_quantizer* self, qh_model* model, qh_str name, int64_t* rows);
  /* Quantizes the value, or takes a stored part in, and puts it into its module. Default:
   * QH_ERR_ATTRIBUTE. [worker] */
  qh_status (*create_quantized_param)(qh_quantizer* self, const qh_exec* exec, qh_model* model,
                                      const qh_param_args* args);

  /* ---- the model is loaded, all [load thread] ---- */
  /* Finishes: prepares kernels, or calibrates and quantizes. Default: nothing. */
  qh_status (*process_after_load)(qh_quantizer* self, const qh_exec* exec, qh_model* model);
  /* Facts. Default of each: 0. */
  qh_status (*is_serializable)(qh_quantizer* self, int32_t* out);
  qh_status (*is_trainable)(qh_quantizer* self, int32_t* out);
  qh_status (*is_compileable)(qh_quantizer* self, int32_t* out);
  qh_status (*is_qat_trainable)(qh_quantizer* self, int32_t* out);
  /* Replaces every quantized module by a plain one of element type `dtype` (none: the one at
   * quantization time). Default: QH_ERR_NOT_IMPLEMENTED. */
  qh_status (*dequantize)(qh_quantizer* self, const qh_exec* exec, qh_model* model, qh_dtype dtype);

  /* ---- saving, all [load thread] ---- */
  /* Tensors and metadata to save. Default: every module's own state, and no metadata beyond
   * {"format": "pt"}. */
  qh_status (*get_state_dict_and_metadata)(qh_quantizer* self, const qh_exec* exec, qh_model* model,
                                           qh_tensor_sink tensors, qh_pair_sink metadata);
  /* Emits the quantization_config to write, one JSON object. Default: the merged config the
   * quantizer was made with. */
  qh_status (*saved_config)(qh_quantizer* self, qh_model* model, qh_str_sink json);
  /* Emits further files of the checkpoint (name, content), e.g. quantize_config.json. Default:
   * none. */
  qh_status (*saved_files)(qh_quantizer* self, qh_model* model, qh_pair_sink files);
} qh_quantizer_api;

#ifdef __cplusplus
}
#endif
#endif

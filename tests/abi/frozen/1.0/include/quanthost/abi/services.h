/* What the host offers a plugin. Each service is a table asked for by its id with
 * qh_host_api.get_service, once. Within a revision a table only grows; a plugin that needs a later
 * slot compares struct_size. Functions that hand out a qh_managed_tensor give it to the caller. */
#ifndef QUANTHOST_ABI_SERVICES_H
#define QUANTHOST_ABI_SERVICES_H

#include <quanthost/abi/module.h>
#include <quanthost/abi/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- qh.log/1 ---- */
#define QH_LOG_ID "qh.log/1"
enum { QH_LOG_TRACE = 0, QH_LOG_DEBUG = 1, QH_LOG_INFO = 2, QH_LOG_WARN = 3, QH_LOG_ERROR = 4 };
typedef struct qh_log_api {
  uint32_t struct_size;
  uint32_t reserved;
  /* Both [any thread]. */
  void (*write)(qh_host* host, int32_t level, qh_str message);
  int32_t (*enabled)(qh_host* host, int32_t level); /* 1 when such a message would be seen */
} qh_log_api;

/* ---- qh.threads/1 ---- */
#define QH_THREADS_ID "qh.threads/1"
typedef struct qh_threads_api {
  uint32_t struct_size;
  uint32_t reserved;
  /* How many threads parallel_for may use. [any thread] */
  uint32_t (*thread_count)(qh_host* host);
  /* As qh_exec.parallel_for, outside of a call that has an exec. [any thread] */
  qh_status (*parallel_for)(qh_host* host, int64_t count, int64_t grain, qh_range_fn body,
                            void* arg);
} qh_threads_api;

/* ---- qh.progress/1 ---- */
#define QH_PROGRESS_ID "qh.progress/1"
typedef struct qh_progress_api {
  uint32_t struct_size;
  uint32_t reserved;
  /* A stage of the session: `unit` is "bytes", "layers", "samples"…; begin ends the stage before
   * it. [load thread] */
  qh_status (*begin)(qh_session* session, qh_str stage, qh_str unit, uint64_t total);
  /* current: the layer or file at work, may be empty. QH_ERR_CANCELLED: stop. [any thread] */
  qh_status (*update)(qh_session* session, uint64_t done, qh_str current);
  qh_status (*end)(qh_session* session); /* [load thread] */
} qh_progress_api;

/* ---- qh.packages/1 ---- */
#define QH_PACKAGES_ID "qh.packages/1"
typedef struct qh_packages_api {
  uint32_t struct_size;
  uint32_t reserved;
  /* The version of a package this session was resolved with; QH_ERR_KEY when it was not. [any
   * thread] */
  qh_status (*version)(qh_session* session, qh_str package, qh_str_sink out);
  /* -1, 0, 1: how two PEP 440 versions compare; 0 or 1: whether a version satisfies constraints.
   * [any thread] */
  qh_status (*compare_versions)(qh_host* host, qh_str a, qh_str b, int32_t* out);
  qh_status (*satisfies)(qh_host* host, qh_str version, qh_str constraints, int32_t* out);
  /* The function table that `package` provides for this kind of device ("cpu", "cuda", …). Lives as
   * long as the process; keep it, do not ask again in a hot path. [load thread] */
  qh_status (*table)(qh_session* session, qh_str package, qh_str interface_id, qh_str device_kind,
                     const void** table, qh_package** self);
} qh_packages_api;

/* ---- qh.tensor/1 ---- */
#define QH_TENSOR_ID "qh.tensor/1"
typedef struct qh_tensor_api {
  uint32_t struct_size;
  uint32_t reserved;
  /* Uninitialized, contiguous, on exec's device. [any thread] */
  qh_status (*allocate)(const qh_exec* exec, qh_dtype dtype, int32_t ndim, const int64_t* shape,
                        qh_managed_tensor** out);
  /* Copies elements between views of one shape, converting the type as LibTorch does and following
   * strides; the two may lie on different devices. [any thread] */
  qh_status (*copy)(const qh_exec* exec, const qh_tensor* from, const qh_tensor* to);
  /* Another handle on the same memory, with another shape or type of the same size in bytes. [any
   * thread] */
  qh_status (*share)(const qh_exec* exec, qh_managed_tensor* tensor, qh_dtype dtype, int32_t ndim,
                     const int64_t* shape, qh_managed_tensor** out);
  /* Wait for exec's stream; for plugins that hand results to another device. [any thread] */
  qh_status (*synchronize)(const qh_exec* exec);
} qh_tensor_api;

/* ---- qh.model/1 ---- */
#define QH_MODEL_ID "qh.model/1"
enum { QH_MODULE_DESC_LEAF = 1, QH_MODULE_DESC_PLUGIN = 2 /* put there by a plugin */ };
typedef struct qh_module_desc {
  uint32_t struct_size;
  uint32_t flags;
  qh_str name;         /* full name, "" for the model itself */
  qh_str class_name;   /* the Python class: "Linear", "Conv1D", "LlamaDecoderLayer" */
  qh_str parent;       /* full name */
  int64_t in_features; /* of Linear and Conv1D, else 0 */
  int64_t out_features;
  uint32_t has_bias;
  uint32_t reserved;
} qh_module_desc;
typedef struct qh_module_desc_sink {
  void* ctx;
  qh_status (*emit)(void* ctx, const qh_module_desc* module);
} qh_module_desc_sink;

typedef struct qh_param_desc {
  uint32_t struct_size;
  uint32_t is_buffer;
  qh_str name;        /* full name */
  qh_tensor tensor;   /* shape, type, device; data is NULL while the model has no memory */
  int32_t tied_group; /* parameters with one number share memory; 0: tied to none */
  uint32_t reserved;
} qh_param_desc;
typedef struct qh_param_desc_sink {
  void* ctx;
  qh_status (*emit)(void* ctx, const qh_param_desc* param);
} qh_param_desc_sink;

typedef struct qh_model_api {
  uint32_t struct_size;
  uint32_t reserved;
  /* All [load thread]; the find and get functions also [worker]. Orders are those of named_modules,
   * named_parameters. */
  qh_status (*config_json)(qh_model* model, qh_str_sink out);
  qh_status (*name_or_path)(qh_model* model, qh_str_sink out);
  qh_status (*main_input_name)(qh_model* model, qh_str_sink out); /* "input_ids", "pixel_values" */
  qh_status (*modules)(qh_model* model, qh_module_desc_sink out);
  qh_status (*parameters)(qh_model* model, qh_param_desc_sink out); /* parameters and buffers */
  /* Emit the one of this name; QH_ERR_KEY when there is none. */
  qh_status (*find_module)(qh_model* model, qh_str name, qh_module_desc_sink out);
  qh_status (*find_param)(qh_model* model, qh_str name, qh_param_desc_sink out);
  qh_status (*input_embeddings)(qh_model* model, qh_str_sink name);
  /* Emits nothing for a model without a head. */
  qh_status (*output_embeddings)(qh_model* model, qh_str_sink name);
  qh_status (*keep_in_fp32_modules)(qh_model* model, qh_str_sink names);
  /* The modules that quantizers leave alone when the user names none: tied and last ones, the
   * output embeddings. */
  qh_status (*default_modules_to_not_convert)(qh_model* model, qh_str_sink names);
  /* transformers' rule that matches a module name against such a list. */
  qh_status (*is_skipped)(qh_model* model, qh_str module, qh_str_list modules_to_not_convert,
                          int32_t* out);
  /* A view of a parameter's memory, or its replacement: set_param takes the value over, also when
   * it fails. */
  qh_status (*get_param)(qh_model* model, qh_str name, qh_managed_tensor** out);
  qh_status (*set_param)(qh_model* model, qh_str name, qh_managed_tensor* value);
  /* Puts a module of the plugin's in the place of `name`. On success the model owns state and calls
   * destroy. */
  qh_status (*replace_module)(qh_model* model, qh_str name, const qh_module_class* klass,
                              qh_module* state);
  /* Gives a plugin's own module back; QH_ERR_KEY when `name` is no module of this class. */
  qh_status (*plugin_module)(qh_model* model, qh_str name, const qh_module_class* klass,
                             qh_module** out);
  /* Puts the host's plain layer, with this weight and the bias it has, in the place of a plugin's
   * module. Takes both over, also when it fails; bias may be NULL. */
  qh_status (*restore_module)(qh_model* model, qh_str name, qh_managed_tensor* weight,
                              qh_managed_tensor* bias);
  /* Named facts on the model, as JSON: "is_quantized", "quantization_method", …; get emits nothing
   * when unset. */
  qh_status (*set_attribute)(qh_model* model, qh_str name, qh_str json);
  qh_status (*get_attribute)(qh_model* model, qh_str name, qh_str_sink json);
} qh_model_api;

/* ---- qh.checkpoint/1 ---- */
#define QH_CHECKPOINT_ID "qh.checkpoint/1"
typedef struct qh_checkpoint_api {
  uint32_t struct_size;
  uint32_t reserved;
  /* The checkpoint the model is loaded from; QH_ERR_RUNTIME for a model that has none. [load
   * thread] and [worker] */
  /* Those that start with prefix. */
  qh_status (*names)(qh_model* model, qh_str prefix, qh_str_sink out);
  /* Shape and element type as stored, data NULL. QH_ERR_KEY when there is no such tensor. */
  qh_status (*info)(qh_model* model, qh_str name, qh_param_desc_sink out);
  qh_status (*read)(qh_model* model, const qh_exec* exec, qh_str name, qh_managed_tensor** out);
  qh_status (*metadata)(qh_model* model, qh_pair_sink out);
  /* A further file of the checkpoint's directory as text, e.g. "quantize_config.json"; emits
   * nothing when absent. */
  qh_status (*read_file)(qh_model* model, qh_str name, qh_str_sink out);
} qh_checkpoint_api;

/* ---- qh.linalg/1 ---- */
#define QH_LINALG_ID "qh.linalg/1"
enum {
  QH_LINALG_TRANSPOSE_A = 1,
  QH_LINALG_TRANSPOSE_B = 2,
  QH_LINALG_UPPER = 4,
  QH_LINALG_LEFT = 8
};
typedef struct qh_linalg_api {
  uint32_t struct_size;
  uint32_t reserved;
  /* Row-major float32 or float64 matrices on one device. Results do not depend on the number of
   * threads. [any thread] */
  /* c = alpha * op(a) op(b) + beta * c */
  qh_status (*matmul)(const qh_exec* exec, uint32_t flags, double alpha, const qh_tensor* a,
                      const qh_tensor* b, double beta, const qh_tensor* c);
  /* c = alpha * op(a)^T op(a) + beta * c, full symmetric; `a` may be float16 or bfloat16, products
   * are exact in float32 */
  qh_status (*syrk)(const qh_exec* exec, uint32_t flags, double alpha, const qh_tensor* a,
                    double beta, const qh_tensor* c);
  /* In place; the other triangle is zeroed. QH_ERR_VALUE when `a` is not positive definite. */
  qh_status (*cholesky)(const qh_exec* exec, uint32_t flags, const qh_tensor* a);
  /* In place: a (symmetric positive definite) becomes the upper Cholesky factor of its inverse. */
  qh_status (*inverse_cholesky_upper)(const qh_exec* exec, const qh_tensor* a);
  /* b = op(a)^-1 b (QH_LINALG_LEFT) or b op(a)^-1, a triangular */
  qh_status (*triangular_solve)(const qh_exec* exec, uint32_t flags, const qh_tensor* a,
                                const qh_tensor* b);
} qh_linalg_api;

/* ---- qh.text/1 ---- */
#define QH_TEXT_ID "qh.text/1"
typedef struct qh_token_sink {
  void* ctx;
  qh_status (*emit)(void* ctx, const int64_t* ids, uint64_t count);
} qh_token_sink;
typedef struct qh_text_api {
  uint32_t struct_size;
  uint32_t reserved;
  /* tokenizer: a directory or tokenizer.json; empty: the model's own. [any thread] */
  qh_status (*tokenize)(qh_model* model, qh_str tokenizer, qh_str text, qh_token_sink out);
  qh_status (*detokenize)(qh_model* model, qh_str tokenizer, const int64_t* ids, uint64_t count,
                          qh_str_sink out);
  qh_status (*read_text)(qh_model* model, qh_str path, qh_str_sink out);
} qh_text_api;

/* ---- qh.calibration/1 ---- */
#define QH_CALIBRATION_ID "qh.calibration/1"
typedef struct qh_calibration_args {
  uint32_t struct_size;
  uint32_t batch_size;   /* samples of one batch; 0: one */
  qh_str dataset_json;   /* a path, a list of strings, or a list of {"input_ids": […]} objects */
  qh_str tokenizer;      /* empty: the model's own */
  qh_str block_prefix;   /* e.g. "model.layers"; empty: found as optimum finds it */
  uint64_t sample_count; /* 0: all of the data */
  uint64_t sequence_length; /* tokens at most of one sample; 0: as many as the model takes, 4028 at
                               most, as optimum has it */
  int64_t pad_token_id;     /* -1: none */
  qh_str journal_path;      /* where an interrupted run leaves its state; empty: no journal */
} qh_calibration_args;

/* Called with the input of a layer ([tokens, in_features], flattened) for each batch. */
typedef qh_status (*qh_layer_input_fn)(void* arg, qh_str layer, const qh_tensor* input,
                                       uint64_t batch_index, uint64_t batch_samples);

typedef struct qh_calibration_api {
  uint32_t struct_size;
  uint32_t reserved;
  /* All [load thread]. */
  qh_status (*open)(qh_session* session, qh_model* model, const qh_calibration_args* args,
                    qh_calibration** out);
  void (*close)(qh_calibration* run);
  qh_status (*block_count)(qh_calibration* run, uint64_t* out);
  qh_status (*block_name)(qh_calibration* run, uint64_t block, qh_str_sink out);
  /* The linear layers inside a block, full names in the order of named_modules. */
  qh_status (*layers)(qh_calibration* run, uint64_t block, qh_str_sink out);
  /* Runs all batches through the block and hands over the inputs of the chosen layers. */
  qh_status (*run_block)(qh_calibration* run, const qh_exec* exec, uint64_t block,
                         qh_str_list layers, qh_layer_input_fn on_input, void* arg);
  /* Runs the block as it is now; its outputs become the inputs of the next one. */
  qh_status (*advance)(qh_calibration* run, const qh_exec* exec, uint64_t block);
  /* The journal: small named states, written atomically. read emits nothing when there is no such
   * entry. */
  qh_status (*journal_write)(qh_calibration* run, qh_str key, const qh_tensor* value);
  qh_status (*journal_read)(qh_calibration* run, const qh_exec* exec, qh_str key,
                            qh_tensor_sink out);
} qh_calibration_api;

#ifdef __cplusplus
}
#endif
#endif

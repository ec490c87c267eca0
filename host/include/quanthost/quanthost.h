/* Embedding the host, in C99: find plugins, load Hugging Face checkpoints through them, run,
 * quantize and save models. <quanthost/host.hpp> offers the same to C++.
 *
 * Status and errors. A function that can fail returns quanthost_status: QUANTHOST_OK, or the kind
 * of the failure. Its last argument may be NULL; otherwise, on failure, *error becomes an object
 * with the whole story that the caller releases with quanthost_error_free. On success *error
 * becomes NULL. Nothing is printed, and no C++ exception comes out.
 *
 * Structs. The first member of every options and result struct is struct_size, which the caller
 * sets to sizeof; a zeroed struct with struct_size set asks for the defaults. Later releases append
 * members; applications that were built before keep working. A NULL options pointer means all
 * defaults.
 *
 * Memory. Strings given to the library are UTF-8 and read during the call. Strings in callbacks and
 * structs are borrowed: each says for how long. Handles belong to the caller and are released with
 * their _free function, which accepts NULL. A host may be released before its models.
 *
 * Threads. Functions of one host and of one cancel object may be called from any thread at any
 * time. Functions of one model may be called from any thread too, and wait for each other;
 * different models compute at the same time. Callbacks come on the thread that made the call, or on
 * one that works for it, one at a time; they must not call a function of the object that calls them
 * (QUANTHOST_ERR_RUNTIME), nor leave by longjmp or an exception. Releasing an object while another
 * thread uses it is an error of the application. */
#ifndef QUANTHOST_QUANTHOST_H
#define QUANTHOST_QUANTHOST_H

#include <quanthost/export.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct DLManagedTensorVersioned; /* DLPack's; layout as qh_managed_tensor of <quanthost/abi.h> */

typedef struct quanthost_host quanthost_host;
typedef struct quanthost_model quanthost_model;
typedef struct quanthost_cancel quanthost_cancel;
typedef struct quanthost_error quanthost_error;

/* The values are those of qh_status in the plugin ABI. Later releases may add some. */
typedef int32_t quanthost_status;
enum {
  QUANTHOST_OK = 0,
  QUANTHOST_ERR_IMPORT = 1, /* a required package is missing or too old */
  QUANTHOST_ERR_VALUE = 2,
  QUANTHOST_ERR_RUNTIME = 3,
  QUANTHOST_ERR_ATTRIBUTE = 4,
  QUANTHOST_ERR_NOT_IMPLEMENTED = 5,
  QUANTHOST_ERR_OS = 6,
  QUANTHOST_ERR_MEMORY = 7,
  QUANTHOST_ERR_TYPE = 8,
  QUANTHOST_ERR_KEY = 9,
  QUANTHOST_ERR_CANCELLED = 10,
  QUANTHOST_ERR_INTERNAL = 11
};

/* -- the library ----------------------------------------------------------------------------- */

QUANTHOST_API const char* quanthost_version(void); /* "0.1.0"; static */
/* The plugin ABI that this library speaks. */
QUANTHOST_API void quanthost_abi_version(uint32_t* major, uint32_t* minor);
/* LibTorch's threads, for the whole process. */
QUANTHOST_API quanthost_status quanthost_set_threads(int32_t count, quanthost_error** error);

/* -- errors ---------------------------------------------------------------------------------- */

/* Borrowed strings live as long as the error. For NULL: QUANTHOST_OK and empty strings. */
QUANTHOST_API quanthost_status quanthost_error_kind(const quanthost_error* error);
QUANTHOST_API const char* quanthost_error_kind_name(
    const quanthost_error* error); /* "ValueError" */
QUANTHOST_API const char* quanthost_error_message(const quanthost_error* error);
QUANTHOST_API const char* quanthost_error_remedy(
    const quanthost_error* error); /* what to do about it; may be empty */
QUANTHOST_API void quanthost_error_free(quanthost_error* error);

/* -- stopping and watching ------------------------------------------------------------------- */

QUANTHOST_API quanthost_status quanthost_cancel_create(quanthost_cancel** out,
                                                       quanthost_error** error);
QUANTHOST_API void quanthost_cancel_request(
    quanthost_cancel* cancel); /* any thread, also a signal handler */
QUANTHOST_API int32_t quanthost_cancel_requested(const quanthost_cancel* cancel);
QUANTHOST_API void quanthost_cancel_reset(
    quanthost_cancel* cancel);                                      /* for the next piece of work */
QUANTHOST_API void quanthost_cancel_free(quanthost_cancel* cancel); /* work at hand keeps its own */

typedef struct quanthost_progress {
  uint32_t struct_size;
  int32_t stage_ended;
  const char* stage;   /* "load", "quantize", "save", …; strings live during the callback */
  const char* unit;    /* "bytes", "layers", … */
  const char* current; /* the tensor, layer or file at hand */
  uint64_t done;
  uint64_t total;
  double seconds;          /* since the stage began */
  double units_per_second; /* 0: not known yet */
  double seconds_left;     /* below 0: not known yet */
} quanthost_progress;
/* At most every 50 ms, and at each stage's begin and end. 0 goes on, anything else stops the work,
 * which then fails with QUANTHOST_ERR_CANCELLED. */
typedef int32_t (*quanthost_progress_fn)(void* user, const quanthost_progress* progress);

enum {
  QUANTHOST_LOG_TRACE = 0,
  QUANTHOST_LOG_DEBUG = 1,
  QUANTHOST_LOG_INFO = 2,
  QUANTHOST_LOG_WARN = 3,
  QUANTHOST_LOG_ERROR = 4,
  QUANTHOST_LOG_OFF = 6
};
/* Calls may come from several threads at once. `source` is a plugin's id or a part of the host. */
typedef void (*quanthost_log_fn)(void* user, int32_t level, const char* source,
                                 const char* message);

/* -- hosts ----------------------------------------------------------------------------------- */

enum {
  QUANTHOST_HOST_NO_CACHE = 1,     /* read every plugin anew */
  QUANTHOST_HOST_NO_ISOLATION = 2, /* open plugins without trying them in a process of their own */
  QUANTHOST_HOST_HAS_LOG_LEVEL = 4
};
typedef struct quanthost_host_options {
  uint32_t struct_size;
  uint32_t flags;
  const char* const* plugin_paths; /* searched before everything else */
  uint64_t plugin_path_count;
  const char* trust;    /* "off", "warn" or "require"; NULL: the user's own setting */
  double probe_seconds; /* that a plugin may take to open in isolation; 0: 10 */
  quanthost_log_fn log; /* NULL: lines on stderr */
  void* log_user;       /* must live as long as the host and its models */
  int32_t log_level;    /* with QUANTHOST_HOST_HAS_LOG_LEVEL; else QUANTHOST_LOG_WARN */
  int32_t reserved;     /* 0 */
} quanthost_host_options;

QUANTHOST_API quanthost_status quanthost_host_create(const quanthost_host_options* options,
                                                     quanthost_host** out, quanthost_error** error);
QUANTHOST_API void quanthost_host_free(quanthost_host* host);

/* A plugin file that was found, usable or not. Strings live during the callback. */
typedef struct quanthost_plugin_info {
  uint32_t struct_size;
  uint32_t method_count;
  const char* id;
  const char* version;
  const char* abi;
  const char* description;
  const char* file;
  const char* state;  /* "ok", "unavailable", "incompatible", "untrusted", … */
  const char* reason; /* why it is not ok */
  const char* hint;
  const char* const* methods;
  const char* const* packages; /* "bitsandbytes 0.50.2 (cpu)" */
  uint64_t package_count;
} quanthost_plugin_info;
/* 0 goes on, anything else ends the listing (which is no failure). */
typedef int32_t (*quanthost_plugin_fn)(void* user, const quanthost_plugin_info* plugin);
/* Reads files alone; no plugin's code runs. */
QUANTHOST_API quanthost_status quanthost_host_plugins(quanthost_host* host, quanthost_plugin_fn fn,
                                                      void* user, quanthost_error** error);

typedef struct quanthost_method_option {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  const char* name;
  const char* type;
  const char* default_value; /* as JSON; "null" when there is none */
  const char* help;
} quanthost_method_option;

typedef struct quanthost_method_info {
  uint32_t struct_size;
  int32_t requires_calibration;
  const char* name;         /* for quanthost_load_options.method */
  const char* quant_method; /* as checkpoints call it */
  const char* plugin;
  const char* const* required_packages; /* "bitsandbytes>=0.39.0" */
  uint64_t required_package_count;
  const quanthost_method_option* options;
  uint64_t option_count;
} quanthost_method_info;
typedef int32_t (*quanthost_method_fn)(void* user, const quanthost_method_info* method);
QUANTHOST_API quanthost_status quanthost_host_methods(quanthost_host* host, quanthost_method_fn fn,
                                                      void* user, quanthost_error** error);

/* `origin`: "--plugin-path", "QUANTHOST_PLUGIN_PATH", "user data", "system", … */
typedef int32_t (*quanthost_path_fn)(void* user, const char* path, const char* origin);
QUANTHOST_API quanthost_status quanthost_host_search_path(quanthost_host* host,
                                                          quanthost_path_fn fn, void* user,
                                                          quanthost_error** error);

/* -- loading --------------------------------------------------------------------------------- */

typedef struct quanthost_setting {
  const char* name;
  const char* value; /* YAML: "4", "true", "nf4", "[a, b]" */
} quanthost_setting;

enum {
  QUANTHOST_LOAD_NO_MAPPED_FILES = 1, /* every tensor is read into memory, none used in its file */
  /* for a float32 model that only runs: matrices that are stored in a smaller type stay in it and
   * are widened as they are used; the same results from half the memory */
  QUANTHOST_LOAD_KEEP_SMALL_TYPES = 2
};

typedef struct quanthost_load_options {
  uint32_t struct_size;
  uint32_t flags;     /* QUANTHOST_LOAD_… */
  const char* method; /* quantize with it while loading; NULL: load as stored */
  const quanthost_setting* settings;
  uint64_t setting_count;
  const char* quantization_file; /* YAML or JSON; instead of method and settings */
  const char* device_map;        /* "auto", …, a device, JSON or a file; NULL: all on the CPU */
  const char* max_memory;        /* "0=10GiB,cpu=30GiB" */
  const char* dtype;             /* NULL: as stored; "float32", "bfloat16", "float16" */
  uint64_t max_queue_bytes;      /* read ahead at most; 0: 256 MiB */
  const char* offload_folder;
  quanthost_progress_fn progress;
  void* progress_user;
  const quanthost_cancel* cancel;
} quanthost_load_options;

typedef struct quanthost_save_options {
  uint32_t struct_size;
  uint32_t flags;           /* 0 */
  uint64_t max_shard_bytes; /* 0: 50 GB */
  quanthost_progress_fn progress;
  void* progress_user;
  const quanthost_cancel* cancel;
} quanthost_save_options;

QUANTHOST_API quanthost_status quanthost_model_load(quanthost_host* host, const char* model_folder,
                                                    const quanthost_load_options* options,
                                                    quanthost_model** out, quanthost_error** error);
/* One pass over the checkpoint: each part is written as soon as it is quantized, so that the model
 * is never in memory at once (methods that calibrate hold it). A method that cannot be saved, a
 * wrong option and a folder that would not be replaced are refused before a tensor is read. A
 * checkpoint that is quantized already is written again as it is when no method is named. The
 * load's cancel counts until all is written, and so does its progress unless `save` has its own. */
QUANTHOST_API quanthost_status quanthost_quantize(quanthost_host* host, const char* model_folder,
                                                  const char* out_folder,
                                                  const quanthost_load_options* options,
                                                  const quanthost_save_options* save,
                                                  quanthost_error** error);
QUANTHOST_API void quanthost_model_free(quanthost_model* model);

/* -- models ---------------------------------------------------------------------------------- */

typedef struct quanthost_model_info {
  uint32_t struct_size;
  int32_t serializable;
  /* Strings live during the callback. */
  const char* source;
  const char* architecture; /* "LlamaForCausalLM" */
  const char* method;       /* empty: not quantized */
  const char* plugin;
  const char* dtype;      /* of what is not quantized */
  const char* device_map; /* JSON */
  uint64_t model_bytes;   /* parameters, buffers and quantized state */
  uint64_t bytes_read;
  double load_seconds;
  int32_t trainable; /* gradients pass through its quantized layers */
  int32_t reserved;  /* 0 */
} quanthost_model_info;
/* Calls fn once. */
typedef void (*quanthost_model_info_fn)(void* user, const quanthost_model_info* info);
QUANTHOST_API quanthost_status quanthost_model_describe(quanthost_model* model,
                                                        quanthost_model_info_fn fn, void* user,
                                                        quanthost_error** error);

/* Calls fn once with all ids, or all text (not terminated by a zero), which live during the call.
 */
typedef void (*quanthost_tokens_fn)(void* user, const int64_t* tokens, uint64_t count);
typedef void (*quanthost_text_fn)(void* user, const char* text, uint64_t bytes);
enum {
  QUANTHOST_TOKENS_PLAIN = 1 /* encode: add no special tokens. decode: show special tokens */
};
QUANTHOST_API quanthost_status quanthost_model_encode(quanthost_model* model, const char* text,
                                                      uint32_t flags, quanthost_tokens_fn fn,
                                                      void* user, quanthost_error** error);
QUANTHOST_API quanthost_status quanthost_model_decode(quanthost_model* model, const int64_t* tokens,
                                                      uint64_t count, uint32_t flags,
                                                      quanthost_text_fn fn, void* user,
                                                      quanthost_error** error);

typedef struct quanthost_chat_message {
  const char* role; /* "system", "user" or "assistant" */
  const char* content;
} quanthost_chat_message;

/* A piece of text, in whole characters, and the token that completed it. 0 goes on, anything else
 * ends the generation. */
typedef int32_t (*quanthost_piece_fn)(void* user, const char* text, uint64_t bytes, int64_t token);

enum {
  QUANTHOST_GENERATE_GREEDY = 1,          /* the likeliest token, whatever else is set */
  QUANTHOST_GENERATE_HAS_TEMPERATURE = 2, /* a set flag makes the member below count; the */
  QUANTHOST_GENERATE_HAS_TOP_K = 4,       /* others come from the model's                 */
  QUANTHOST_GENERATE_HAS_TOP_P = 8,       /* generation_config.json                       */
  QUANTHOST_GENERATE_HAS_REPETITION_PENALTY = 16
};
typedef struct quanthost_generate_options {
  uint32_t struct_size;
  uint32_t flags;
  int64_t max_new_tokens; /* 0: 128 */
  double temperature;
  int64_t top_k;
  double top_p;
  double repetition_penalty;
  uint64_t seed;
  const char* const* stop; /* ends before one of these texts */
  uint64_t stop_count;
  quanthost_piece_fn on_text;
  void* on_text_user;
  const quanthost_cancel* cancel;
} quanthost_generate_options;

enum {
  QUANTHOST_STOP_END_OF_TEXT = 0,
  QUANTHOST_STOP_TEXT = 1,
  QUANTHOST_STOP_LENGTH = 2,
  QUANTHOST_STOP_CALLBACK = 3,
  QUANTHOST_STOP_CANCELLED = 4
};
typedef struct quanthost_generation {
  uint32_t struct_size;
  int32_t stop_reason;
  int64_t prompt_tokens;
  int64_t new_tokens;
  double prefill_seconds;
  double decode_seconds;
} quanthost_generation;

/* `result` may be NULL; otherwise the caller sets result->struct_size. The text goes to
 * options->on_text. */
QUANTHOST_API quanthost_status quanthost_model_generate(quanthost_model* model, const char* prompt,
                                                        const quanthost_generate_options* options,
                                                        quanthost_generation* result,
                                                        quanthost_error** error);
/* The same from token ids, as quanthost_model_encode gives them. */
QUANTHOST_API quanthost_status
quanthost_model_generate_tokens(quanthost_model* model, const int64_t* prompt, uint64_t count,
                                const quanthost_generate_options* options,
                                quanthost_generation* result, quanthost_error** error);
QUANTHOST_API quanthost_status quanthost_model_chat(quanthost_model* model,
                                                    const quanthost_chat_message* messages,
                                                    uint64_t message_count,
                                                    const quanthost_generate_options* options,
                                                    quanthost_generation* result,
                                                    quanthost_error** error);

typedef struct quanthost_named_tensor {
  const char* name; /* input_ids, attention_mask, position_ids, token_type_ids, pixel_values */
  struct DLManagedTensorVersioned* tensor; /* borrowed; its memory is only read */
} quanthost_named_tensor;
/* Logits, or the last hidden state of a model without a head. The caller owns *out and calls its
 * deleter. */
QUANTHOST_API quanthost_status quanthost_model_forward(quanthost_model* model,
                                                       const quanthost_named_tensor* inputs,
                                                       uint64_t input_count,
                                                       struct DLManagedTensorVersioned** out,
                                                       quanthost_error** error);

/* A directory that transformers can load too; it appears whole or not at all. */
QUANTHOST_API quanthost_status quanthost_model_save(quanthost_model* model, const char* directory,
                                                    const quanthost_save_options* options,
                                                    quanthost_error** error);
/* Every quantized layer becomes a plain one. `dtype` NULL: the model's own. */
QUANTHOST_API quanthost_status quanthost_model_dequantize(quanthost_model* model, const char* dtype,
                                                          quanthost_error** error);

#ifdef __cplusplus
}
#endif
#endif

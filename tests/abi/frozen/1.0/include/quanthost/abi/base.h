/* Statuses, strings, lists and sinks; the rules that every struct and function of the ABI follows.
 *
 * Structs. A table or an argument struct starts with `uint32_t struct_size`, which its writer sets
 * to sizeof as it knows it; where a function fills a struct that the caller provides (`out`), the
 * caller sets it and no more than that is written. A reader copies min(struct_size, its own sizeof)
 * into a zeroed local and never compares for equality. Fields are only ever appended; there is no
 * tail padding. Fields called reserved, and flags without a name here, are 0 when written and are
 * not read.
 *
 * Value types. Structs without a size field (qh_str, the lists, the sinks, qh_dtype, qh_device,
 * qh_tensor, qh_managed_tensor, qh_config_field, qh_memory_limit) lie in arrays and inside of other
 * structs: their layout and size are frozen for ever. What is new comes in a struct of its own.
 *
 * Tables. A slot that is NULL, or lies beyond struct_size, has the base-class default. The host
 * fills these in when it loads a plugin, and a plugin may rely on every slot of a host service that
 * the service's revision had in the minor version the plugin was built with. Tables are constant;
 * a plugin's lie in its library and are never freed.
 *
 * Ownership. Views (qh_str, lists, `const qh_tensor*`) are borrowed for the call; what a sink is
 * given is borrowed for that emit. Nothing that one side allocates is freed by the other; only a
 * qh_managed_tensor moves, with its own deleter, which may run on any thread. Lists of unknown
 * length come back through sinks, on the calling thread and before the function returns.
 *
 * Failure. Every slot returns a qh_status. Before returning anything but QH_OK the callee says why
 * through set_error() (plugins) or has already recorded it (host services: return the status as it
 * is). Outputs are then undefined, and nothing was handed over. A status without a name here counts
 * as a bug of who returned it. No exception, longjmp or signal handler crosses. Errors are kept for
 * each thread and read by the caller directly after the call.
 *
 * Threads. Each slot carries a tag:
 *
 *     [load thread]  called by the thread that loads or saves this model, one call at a time for
 *                    each quantizer
 *     [any thread]   called from any thread, at any time after create, several at once
 *     [worker]       called from the host's quantizing threads; several at once only with
 *                    QH_QUANTIZER_CONCURRENT
 *
 * A plugin starts no threads: it uses parallel_for (qh_exec or qh.threads/1).
 *
 * Units. Sizes are in bytes where the name says so, else in elements; truth values are 0 and 1.
 */
#ifndef QUANTHOST_ABI_BASE_H
#define QUANTHOST_ABI_BASE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A host loads every plugin of its major version whose minor version is not above its own. A plugin
 * refuses a host that is older than the minor version it uses, with a sentence. */
#define QH_ABI_MAJOR 1
#define QH_ABI_MINOR 0

typedef int32_t qh_status;
enum {
  QH_OK = 0,
  QH_ERR_IMPORT = 1,          /* a required package is missing or too old */
  QH_ERR_VALUE = 2,           /* an argument or option has a value that is not allowed */
  QH_ERR_RUNTIME = 3,         /* cannot be done in this state or on this machine */
  QH_ERR_ATTRIBUTE = 4,       /* the object does not offer this */
  QH_ERR_NOT_IMPLEMENTED = 5, /* the method does not support this */
  QH_ERR_OS = 6,              /* a file or the system refused */
  QH_ERR_MEMORY = 7,          /* not enough memory, or a cap would be passed */
  QH_ERR_TYPE = 8,            /* an argument or option has the wrong type */
  QH_ERR_KEY = 9,             /* a named tensor, module or entry does not exist */
  QH_ERR_CANCELLED = 10,      /* the caller asked to stop */
  QH_ERR_INTERNAL = 11        /* a bug: something escaped that nobody should have let through */
};

/* UTF-8 text, not necessarily NUL-terminated. data may be NULL when size is 0. */
typedef struct qh_str {
  const char* data;
  uint64_t size;
} qh_str;

typedef struct qh_str_list {
  const qh_str* items;
  uint64_t count;
} qh_str_list;

typedef struct qh_pair {
  qh_str key;
  qh_str value;
} qh_pair;

typedef struct qh_pair_list {
  const qh_pair* items;
  uint64_t count;
} qh_pair_list;

/* Sinks: the callee emits each entry; an emit that does not return QH_OK ends the listing with that
 * status. */
typedef struct qh_str_sink {
  void* ctx;
  qh_status (*emit)(void* ctx, qh_str value);
} qh_str_sink;

typedef struct qh_pair_sink {
  void* ctx;
  qh_status (*emit)(void* ctx, qh_str key, qh_str value);
} qh_pair_sink;

/* Opaque handles. What they point to belongs to the side that made them.
 *
 * The host's: qh_host, the host as one plugin sees it, lives as long as the process. qh_session is
 * one load, quantization or save with its resolved packages, progress and cancel; qh_model is the
 * model being loaded. Both live until the quantizer is destroyed. qh_calibration is a calibration
 * run, from open to close.
 *
 * The plugin's: qh_plugin is its own state; qh_quantizer is made by create; qh_module is the state
 * of one quantized layer; qh_package is a kernel package's own state, the first argument of its
 * table's functions, and lives as long as the process. Modules are destroyed before their
 * quantizer, quantizers before shutdown. */
typedef struct qh_host qh_host;
typedef struct qh_session qh_session;
typedef struct qh_model qh_model;
typedef struct qh_plugin qh_plugin;
typedef struct qh_quantizer qh_quantizer;
typedef struct qh_module qh_module;
typedef struct qh_package qh_package;
typedef struct qh_calibration qh_calibration;

#ifdef __cplusplus
}
#endif
#endif

/* The entry point and the plugin's own table. */
#ifndef QUANTHOST_ABI_PLUGIN_H
#define QUANTHOST_ABI_PLUGIN_H

#include <quanthost/abi/quantizer.h>
#include <quanthost/abi/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What every plugin can call from the first moment on. */
typedef struct qh_host_api {
  uint32_t struct_size;
  uint32_t reserved;
  /* Records why the call that is running on this thread fails. hint says what to do and may be
   * empty. [any thread] */
  void (*set_error)(qh_host* host, qh_status kind, qh_str message, qh_str hint);
  /* A service table by id, e.g. "qh.model/1"; NULL when this host has none. Ask once, not in a hot
   * path. [any thread] */
  const void* (*get_service)(qh_host* host, qh_str id);
} qh_host_api;

typedef struct qh_offer {
  uint32_t struct_size;
  uint32_t abi_major;
  uint32_t abi_minor_min; /* the host serves plugins of these minor versions */
  uint32_t abi_minor_max;
  qh_host* host; /* lives as long as the process */
  const qh_host_api* api;
  qh_str host_version; /* of the host program, for messages alone */
  qh_str plugin_path;  /* absolute path of this plugin's file */
} qh_offer;

/* The plugin's table. All slots [load thread] unless tagged otherwise. */
typedef struct qh_plugin_api {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  /* Emits what the manifest says too, so that the two can be compared: id, version, and one entry
   * for each thing provided:
   * ("id", …), ("version", …), ("quantizer", method), ("package", "name version device interface").
   * Required. */
  qh_status (*describe)(qh_plugin* plugin, qh_pair_sink out);
  /* The table of a quantizer this plugin provides; NULL slot: it provides none. */
  qh_status (*quantizer)(qh_plugin* plugin, qh_str method, const qh_quantizer_api** out);
  /* A kernel package's function table (its type is the header that the interface id names) and its
   * state. Fails with QH_ERR_RUNTIME and the true first cause when it cannot work here (no driver,
   * no device). */
  qh_status (*package)(qh_plugin* plugin, qh_str name, qh_str interface_id, qh_str device_kind,
                       const void** table, qh_package** self);
  /* Runs a quick check of the plugin's own arithmetic; used by `quanthost validate`. */
  qh_status (*self_test)(qh_plugin* plugin, const qh_exec* exec);
  /* A table of the plugin's own, by reverse-DNS id; NULL when unknown. [any thread] */
  const void* (*extension)(qh_plugin* plugin, qh_str id);
  /* The last call. The library stays mapped. */
  void (*shutdown)(qh_plugin* plugin);
} qh_plugin_api;

typedef struct qh_accept {
  uint32_t struct_size; /* set by the host; the plugin fills what fits */
  uint32_t abi_minor;   /* the minor version the plugin uses */
  qh_plugin* plugin;
  const qh_plugin_api* api;
} qh_accept;

/* The one exported symbol. Called once by each host in the process. No heavy work: no threads, no
 * device is touched. */
#define QH_ENTRY_SYMBOL "qh_plugin_entry_v1"
typedef qh_status (*qh_plugin_entry_fn)(const qh_offer* offer, qh_accept* accept);

#ifdef __cplusplus
}
#endif
#endif

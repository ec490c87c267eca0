/* absmax8 in plain C: what the three source files share. plugin.c holds the entry, quantizer.c the
 * method, linear8.c the quantized layer and its arithmetic. */
#ifndef ABSMAX8_H
#define ABSMAX8_H

#include <quanthost/abi.h>

/* One for each host: the host's tables, copied as far as both sides know them. */
struct qh_plugin {
  qh_host* host;
  qh_host_api api;
  qh_model_api model;
  qh_tensor_api tensor;
};

/* A layer: int8 weight [out, in], float32 scale [out], optional bias. */
struct qh_module {
  const struct qh_plugin* plugin;
  int64_t in_features, out_features, rows_loaded;
  int32_t has_bias;
  qh_dtype dense_dtype;
  qh_managed_tensor* weight;
  qh_managed_tensor* scale;
  qh_managed_tensor* bias;
};

extern const qh_quantizer_api absmax8_quantizer;
extern const qh_module_class absmax8_class;

qh_str text_of(const char* text);
int same_text(qh_str a, const char* b);
/* Records the error at the host and returns `kind`. */
qh_status fail_with(const struct qh_plugin* plugin, qh_status kind, const char* message);
void drop(qh_managed_tensor** tensor);

struct qh_module* linear8_new(const struct qh_plugin* plugin, const qh_module_desc* desc);
/* Both take `value` over. */
qh_status linear8_quantize_rows(struct qh_module* self, const qh_exec* exec, int64_t row_begin,
                                qh_managed_tensor* value);
qh_status linear8_set(struct qh_module* self, const qh_exec* exec, qh_str name,
                      qh_managed_tensor* value);
/* The bias given away, or NULL. */
qh_managed_tensor* linear8_take_bias(struct qh_module* self);

#endif

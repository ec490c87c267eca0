/* The method: which layers are replaced, and where each tensor of the checkpoint goes. */
#include <stdlib.h>
#include <string.h>

#include "absmax8.h"

struct qh_quantizer {
  const struct qh_plugin* plugin;
  int32_t pre_quantized;
};

static qh_status create(qh_plugin* plugin, const qh_create_args* args, qh_quantizer** out) {
  struct qh_quantizer* self = calloc(1, sizeof *self);
  if (!self) return fail_with(plugin, QH_ERR_MEMORY, "out of memory");
  self->plugin = plugin;
  self->pre_quantized = (args->flags & QH_CREATE_PRE_QUANTIZED) != 0;
  *out = self;
  return QH_OK;
}

static void destroy(qh_quantizer* self) { free(self); }

static qh_status adjust_target_dtype(qh_quantizer* self, qh_dtype dtype, qh_dtype* out) {
  const qh_dtype int8 = {QH_DTYPE_INT, 8, 1};
  (void)self;
  (void)dtype;
  *out = int8;
  return QH_OK;
}

/* The host's strings are borrowed, and replacing changes the model: so the layers are listed first.
 */
struct layer_list {
  struct qh_module* layers[4096];
  char* names[4096];
  size_t count;
  const struct qh_plugin* plugin;
  qh_model* model;
};

static qh_status list_layer(void* ctx, const qh_module_desc* desc) {
  struct layer_list* list = ctx;
  char* name;
  if (!same_text(desc->class_name, "Linear")) return QH_OK;
  if (list->count == sizeof list->layers / sizeof *list->layers)
    return fail_with(list->plugin, QH_ERR_VALUE, "this sample handles 4096 linear layers at most");
  name = malloc(desc->name.size + 1);
  list->layers[list->count] = linear8_new(list->plugin, desc);
  if (!name || !list->layers[list->count]) {
    free(name);
    return fail_with(list->plugin, QH_ERR_MEMORY, "out of memory");
  }
  memcpy(name, desc->name.data, desc->name.size);
  name[desc->name.size] = 0;
  list->names[list->count++] = name;
  return QH_OK;
}

/* Is `module` one of the modules that quantizers leave alone? */
struct skip_query {
  struct layer_list* list;
  const char* module;
  int32_t skipped;
};
static qh_status match_skip(void* ctx, qh_str pattern) {
  struct skip_query* query = ctx;
  const qh_str_list one = {&pattern, 1};
  int32_t matches = 0;
  const qh_status status = query->list->plugin->model.is_skipped(
      query->list->model, text_of(query->module), one, &matches);
  if (matches) query->skipped = 1;
  return status;
}

static qh_status process_before_load(qh_quantizer* self, const qh_exec* exec, qh_model* model,
                                     const qh_before_load_args* args) {
  const qh_model_api* api = &self->plugin->model;
  struct layer_list* list;
  qh_module_desc_sink modules;
  qh_status status;
  size_t i;
  (void)exec;
  (void)args;
  if (!api->modules)
    return fail_with(self->plugin, QH_ERR_RUNTIME, "this host does not offer " QH_MODEL_ID);
  list = calloc(1, sizeof *list);
  if (!list) return fail_with(self->plugin, QH_ERR_MEMORY, "out of memory");
  list->plugin = self->plugin;
  list->model = model;
  modules.ctx = list;
  modules.emit = list_layer;
  status = api->modules(model, modules);
  for (i = 0; i < list->count; ++i) {
    struct skip_query query = {list, list->names[i], 0};
    const qh_str_sink patterns = {&query, match_skip};
    if (status == QH_OK) status = api->default_modules_to_not_convert(model, patterns);
    if (status == QH_OK && !query.skipped) {
      status = api->replace_module(model, text_of(list->names[i]), &absmax8_class, list->layers[i]);
      if (status == QH_OK) list->layers[i] = NULL; /* the model's now */
    }
    if (list->layers[i]) absmax8_class.destroy(list->layers[i]);
    free(list->names[i]);
  }
  free(list);
  return status;
}

/* Splits "a.b.weight" and finds our layer "a.b"; NULL when it is none of ours. */
static struct qh_module* owner_of(const struct qh_quantizer* self, qh_model* model, qh_str name,
                                  qh_str* leaf) {
  qh_module* found = NULL;
  qh_str module = name;
  while (module.size > 0 && module.data[module.size - 1] != '.') --module.size;
  leaf->data = name.data + module.size;
  leaf->size = name.size - module.size;
  if (module.size > 0) --module.size;
  return self->plugin->model.plugin_module(model, module, &absmax8_class, &found) == QH_OK ? found
                                                                                           : NULL;
}

static qh_status check_quantized_param(qh_quantizer* self, qh_model* model,
                                       const qh_param_query* query, int32_t* out) {
  qh_str leaf;
  *out = owner_of(self, model, query->name, &leaf) != NULL;
  return QH_OK;
}

static qh_status create_quantized_param(qh_quantizer* self, const qh_exec* exec, qh_model* model,
                                        const qh_param_args* args) {
  qh_managed_tensor* value = args->value;
  qh_str leaf;
  struct qh_module* layer = owner_of(self, model, args->name, &leaf);
  if (!layer) {
    drop(&value);
    return fail_with(self->plugin, QH_ERR_ATTRIBUTE,
                     "the parameter belongs to no layer of absmax8_c");
  }
  if (same_text(leaf, "weight") && value->tensor.dtype.code != QH_DTYPE_INT)
    return linear8_quantize_rows(layer, exec, args->row_begin, value);
  return linear8_set(layer, exec, leaf, value);
}

static qh_status update_missing_keys(qh_quantizer* self, qh_model* model, qh_str_list keys,
                                     qh_str prefix, qh_str_sink out) {
  qh_status status = QH_OK;
  uint64_t i;
  (void)prefix;
  for (i = 0; i < keys.count && status == QH_OK; ++i) {
    qh_str leaf;
    const int ours = owner_of(self, model, keys.items[i], &leaf) != NULL;
    /* A dense checkpoint has no scales: they come from the weights. */
    if (!self->pre_quantized && ours && same_text(leaf, "weight_scale")) continue;
    status = out.emit(out.ctx, keys.items[i]);
  }
  return status;
}

static qh_status yes(qh_quantizer* self, int32_t* out) {
  (void)self;
  *out = 1;
  return QH_OK;
}

struct own_layers {
  const struct qh_quantizer* self;
  qh_model* model;
  char* names[4096];
  size_t count;
};
static qh_status list_own(void* ctx, const qh_module_desc* desc) {
  struct own_layers* list = ctx;
  qh_module* ignored;
  if (list->self->plugin->model.plugin_module(list->model, desc->name, &absmax8_class, &ignored) !=
      QH_OK)
    return QH_OK;
  if (list->count == sizeof list->names / sizeof *list->names) return QH_OK;
  list->names[list->count] = malloc(desc->name.size + 1);
  if (!list->names[list->count])
    return fail_with(list->self->plugin, QH_ERR_MEMORY, "out of memory");
  memcpy(list->names[list->count], desc->name.data, desc->name.size);
  list->names[list->count++][desc->name.size] = 0;
  return QH_OK;
}

static qh_status dequantize(qh_quantizer* self, const qh_exec* exec, qh_model* model,
                            qh_dtype dtype) {
  const qh_model_api* api = &self->plugin->model;
  struct own_layers* list = calloc(1, sizeof *list);
  qh_module_desc_sink modules;
  qh_status status;
  size_t i;
  if (!list) return fail_with(self->plugin, QH_ERR_MEMORY, "out of memory");
  list->self = self;
  list->model = model;
  modules.ctx = list;
  modules.emit = list_own;
  status = api->modules(model, modules);
  for (i = 0; i < list->count; ++i) {
    qh_module* layer = NULL;
    qh_managed_tensor* weight = NULL;
    if (status == QH_OK)
      status = api->plugin_module(model, text_of(list->names[i]), &absmax8_class, &layer);
    if (status == QH_OK) status = absmax8_class.dequantize(layer, exec, dtype, &weight);
    if (status == QH_OK)
      status =
          api->restore_module(model, text_of(list->names[i]), weight, linear8_take_bias(layer));
    free(list->names[i]);
  }
  free(list);
  return status;
}

const qh_quantizer_api absmax8_quantizer = {
    .struct_size = sizeof(qh_quantizer_api),
    .flags = QH_QUANTIZER_CONCURRENT,
    .create = create,
    .destroy = destroy,
    .adjust_target_dtype = adjust_target_dtype,
    .process_before_load = process_before_load,
    .update_missing_keys = update_missing_keys,
    .check_quantized_param = check_quantized_param,
    .create_quantized_param = create_quantized_param,
    .is_serializable = yes,
    .is_trainable = yes,
    .dequantize = dequantize,
};

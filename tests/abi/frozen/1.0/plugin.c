/* The entry point and the plugin's table. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "absmax8.h"

qh_str text_of(const char* text) {
  qh_str out = {text, strlen(text)};
  return out;
}

int same_text(qh_str a, const char* b) {
  return a.size == strlen(b) && (a.size == 0 || memcmp(a.data, b, a.size) == 0);
}

qh_status fail_with(const struct qh_plugin* plugin, qh_status kind, const char* message) {
  plugin->api.set_error(plugin->host, kind, text_of(message), text_of(""));
  return kind;
}

void drop(qh_managed_tensor** tensor) {
  if (*tensor && (*tensor)->deleter) (*tensor)->deleter(*tensor);
  *tensor = NULL;
}

/* The reader's rule for every struct of the ABI: as much as both sides know, the rest zero. */
static void copy_sized(void* mine, size_t my_size, const void* theirs) {
  uint32_t size = 0;
  memset(mine, 0, my_size);
  if (!theirs) return;
  memcpy(&size, theirs, sizeof size);
  memcpy(mine, theirs, size < my_size ? size : my_size);
}

static qh_status describe(qh_plugin* self, qh_pair_sink out) {
  qh_status status;
  (void)self;
  status = out.emit(out.ctx, text_of("id"), text_of(QH_PLUGIN_ID));
  if (status == QH_OK) status = out.emit(out.ctx, text_of("version"), text_of(QH_PLUGIN_VERSION));
  if (status == QH_OK) status = out.emit(out.ctx, text_of("quantizer"), text_of("absmax8_c"));
  return status;
}

static qh_status quantizer(qh_plugin* self, qh_str method, const qh_quantizer_api** out) {
  if (!same_text(method, "absmax8_c"))
    return fail_with(self, QH_ERR_KEY, "the only method of this plugin is absmax8_c");
  *out = &absmax8_quantizer;
  return QH_OK;
}

static void shutdown(qh_plugin* self) { free(self); }

static const qh_plugin_api plugin_table = {
    sizeof(qh_plugin_api), 0, describe, quantizer, NULL, NULL, NULL, shutdown};

__attribute__((visibility("default"))) qh_status qh_plugin_entry_v1(const qh_offer* theirs,
                                                                    qh_accept* accept) {
  qh_offer offer;
  qh_accept answer;
  struct qh_plugin* plugin;
  const uint32_t minor = QH_ABI_MINOR;

  if (!theirs || !accept) return QH_ERR_VALUE;
  copy_sized(&offer, sizeof offer, theirs);
  if (!offer.api) return QH_ERR_VALUE;
  plugin = calloc(1, sizeof *plugin);
  if (!plugin) return QH_ERR_MEMORY;
  plugin->host = offer.host;
  copy_sized(&plugin->api, sizeof plugin->api, offer.api);
  if (offer.abi_major != QH_ABI_MAJOR || offer.abi_minor_min > minor ||
      offer.abi_minor_max < minor) {
    fail_with(plugin, QH_ERR_RUNTIME,
              QH_PLUGIN_ID
              " was built for plugin ABI 1.0, which this host does not offer; install "
              "a quanthost that does");
    free(plugin);
    return QH_ERR_RUNTIME;
  }
  copy_sized(&plugin->model, sizeof plugin->model,
             plugin->api.get_service(plugin->host, text_of(QH_MODEL_ID)));
  copy_sized(&plugin->tensor, sizeof plugin->tensor,
             plugin->api.get_service(plugin->host, text_of(QH_TENSOR_ID)));

  answer.struct_size =
      accept->struct_size < sizeof answer ? accept->struct_size : (uint32_t)sizeof answer;
  answer.abi_minor = minor;
  answer.plugin = plugin;
  answer.api = &plugin_table;
  memcpy(accept, &answer, answer.struct_size);
  /* A host that cannot take the handle cannot give it back either. */
  if (answer.struct_size < sizeof answer) free(plugin);
  return QH_OK;
}

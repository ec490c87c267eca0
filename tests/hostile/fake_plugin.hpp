// The smallest sound plugin; each hostile one includes it and spoils one thing.
#pragma once

#include <quanthost/abi.h>
#include <string.h>

#define QH_EXPORT extern "C" __attribute__((visibility("default")))

namespace fake {

inline qh_str text(const char* s) { return {s, strlen(s)}; }

inline qh_status describe(qh_plugin*, qh_pair_sink out) {
  if (qh_status s = out.emit(out.ctx, text("id"), text(QH_PLUGIN_ID)); s != QH_OK) return s;
  if (qh_status s = out.emit(out.ctx, text("version"), text(QH_PLUGIN_VERSION)); s != QH_OK)
    return s;
  return out.emit(out.ctx, text("quantizer"), text(QH_FAKE_METHOD));
}

inline const qh_plugin_api& table() {
  static const qh_plugin_api api{
      sizeof(qh_plugin_api), 0, describe, nullptr, nullptr, nullptr, nullptr, nullptr};
  return api;
}

inline qh_status accept_offer(qh_accept* accept) {
  accept->abi_minor = QH_ABI_MINOR;
  accept->plugin = nullptr;
  accept->api = &table();
  return QH_OK;
}

}  // namespace fake

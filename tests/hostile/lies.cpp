// Says something else when it runs than its manifest does.
#include "fake_plugin.hpp"

static qh_status describe(qh_plugin*, qh_pair_sink out) {
  out.emit(out.ctx, fake::text("id"), fake::text("test.somebody_else"));
  out.emit(out.ctx, fake::text("version"), fake::text("1.0.0"));
  return out.emit(out.ctx, fake::text("quantizer"), fake::text(QH_FAKE_METHOD));
}

QH_EXPORT qh_status qh_plugin_entry_v1(const qh_offer*, qh_accept* accept) {
  static qh_plugin_api api = fake::table();
  api.describe = describe;
  fake::accept_offer(accept);
  accept->api = &api;
  return QH_OK;
}

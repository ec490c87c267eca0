// Its table says it is four gigabytes long.
#include "fake_plugin.hpp"

QH_EXPORT qh_status qh_plugin_entry_v1(const qh_offer*, qh_accept* accept) {
  static qh_plugin_api api = fake::table();
  api.struct_size = 0xFFFFFFFFu;
  accept->abi_minor = QH_ABI_MINOR;
  accept->api = &api;
  return QH_OK;
}

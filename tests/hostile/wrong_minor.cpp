// Answers with a version of the ABI that nobody offered.
#include "fake_plugin.hpp"

QH_EXPORT qh_status qh_plugin_entry_v1(const qh_offer*, qh_accept* accept) {
  fake::accept_offer(accept);
  accept->abi_minor = 77;
  return QH_OK;
}

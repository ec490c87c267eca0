// Nothing is wrong with this one.
#include "fake_plugin.hpp"

QH_EXPORT qh_status qh_plugin_entry_v1(const qh_offer*, qh_accept* accept) {
  return fake::accept_offer(accept);
}

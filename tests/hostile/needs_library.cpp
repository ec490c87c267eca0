// Needs a library that is not installed anywhere.
#include "fake_plugin.hpp"

extern "C" int qh_test_from_missing_library();

QH_EXPORT qh_status qh_plugin_entry_v1(const qh_offer*, qh_accept* accept) {
  return qh_test_from_missing_library() == 0 ? fake::accept_offer(accept) : QH_ERR_RUNTIME;
}

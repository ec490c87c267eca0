// Ends the process that opens it, already in its constructor.
#include <stdlib.h>

#include "fake_plugin.hpp"

__attribute__((constructor)) static void leave() { exit(7); }

QH_EXPORT qh_status qh_plugin_entry_v1(const qh_offer*, qh_accept* accept) {
  return fake::accept_offer(accept);
}

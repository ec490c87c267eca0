// Works, but prints eight megabytes to each of stdout and stderr.
#include <unistd.h>

#include "fake_plugin.hpp"

QH_EXPORT qh_status qh_plugin_entry_v1(const qh_offer*, qh_accept* accept) {
  static char line[4096];
  memset(line, 'x', sizeof line);
  for (int i = 0; i < 2048; ++i) {
    if (write(1, line, sizeof line) < 0 || write(2, line, sizeof line) < 0) break;
  }
  return fake::accept_offer(accept);
}

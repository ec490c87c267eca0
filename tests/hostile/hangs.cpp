// Never returns.
#include <unistd.h>

#include "fake_plugin.hpp"

QH_EXPORT qh_status qh_plugin_entry_v1(const qh_offer*, qh_accept*) {
  for (;;) pause();
}

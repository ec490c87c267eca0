// Writes where nothing is.
#include "fake_plugin.hpp"

static volatile uintptr_t nowhere = 8;  // volatile: the compiler must not see it coming

QH_EXPORT qh_status qh_plugin_entry_v1(const qh_offer*, qh_accept*) {
  *reinterpret_cast<volatile int*>(nowhere) = 1;
  return QH_OK;
}

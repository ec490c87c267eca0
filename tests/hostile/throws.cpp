// Lets an exception out of its entry point.
#include <stdexcept>

#include "fake_plugin.hpp"

QH_EXPORT qh_status qh_plugin_entry_v1(const qh_offer*, qh_accept*) {
  throw std::runtime_error("thrown by a plugin");
}

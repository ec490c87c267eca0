// A plugin opened by the conformance suite with an offer of its making.
#pragma once

#include <string>

#include "host/conformance/case.hpp"
#include "quanthost/abi/plugin.h"

namespace quanthost::conformance {

qh_plugin_entry_fn open_entry(
    const std::string& path);  // throws Failure with the loader's own text

// The offer of today's host.
qh_offer make_offer(MockHost& host, const std::string& path);

class OpenedPlugin {
 public:
  // Throws Failure when the entry refuses.
  OpenedPlugin(MockHost& host, const Subject& subject);
  ~OpenedPlugin();
  OpenedPlugin(const OpenedPlugin&) = delete;
  OpenedPlugin& operator=(const OpenedPlugin&) = delete;

  const qh_plugin_api& api() const { return *accept_.api; }
  qh_plugin* handle() const { return accept_.plugin; }
  qh_quantizer_api quantizer(
      std::string_view method) const;  // as far as the plugin knows it; throws Failure

 private:
  MockHost& host_;
  qh_accept accept_{};
};

// "ValueError: text" of the last error at the host, after checking that a failing call left a
// usable text.
std::string require_error(MockHost& host, qh_status status, std::string_view what);
// A call that has to succeed.
void require_ok(MockHost& host, qh_status status, std::string_view what);

}  // namespace quanthost::conformance

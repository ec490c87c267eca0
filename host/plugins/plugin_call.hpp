// The edge between host and plugin: how a plugin reports why it failed, and how the host calls it.
#pragma once

#include <quanthost/abi/plugin.h>

#include <exception>
#include <string>
#include <string_view>

#include "host/base/call_error.hpp"

// The host as one plugin sees it: what the opaque qh_host* of the ABI points to. Lives as long as
// the process.
struct qh_host {
  std::string plugin_id;
  std::string plugin_path;
  std::string host_version;
};

namespace quanthost {

inline qh_str to_abi(std::string_view text) { return {text.data(), text.size()}; }
// A plugin's text; tolerates NULL and cuts at 1 MiB, so that a garbage size does no harm.
std::string_view from_abi(qh_str text);

// The table every plugin gets with the offer.
const qh_host_api& host_api();

// Makes a service known to plugins under its id, e.g. "qh.model/1". The table lives as long as the
// process. Any thread; before the first plugin asks for it. qh.log/1 is there from the start.
void register_service(std::string id, const void* table);

[[noreturn]] void throw_escaped_exception(std::string_view where, std::string_view what);

// Calls into a plugin: `call` returns a qh_status. Throws Error for a failure; an exception that
// escapes is caught and reported as a bug of the plugin. An Error thrown by the host's own sinks
// below the call passes as it is.
template <typename Call>
void call_plugin(std::string_view where, Call&& call) {
  clear_call_error();
  qh_status status = QH_OK;
  try {
    status = call();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw_escaped_exception(where, e.what());
  } catch (...) {
    throw_escaped_exception(where, "of unknown type");
  }
  if (status != QH_OK) throw take_call_error(status).within(where);
}

}  // namespace quanthost

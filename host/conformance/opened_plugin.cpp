#include "host/conformance/opened_plugin.hpp"

#include <dlfcn.h>

#include "quanthost/plugin/host.hpp"

namespace quanthost::conformance {

qh_plugin_entry_fn open_entry(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw Failure(fmt::format("the library cannot be opened: {}", dlerror()));
  void* symbol = dlsym(library, QH_ENTRY_SYMBOL);
  require(symbol != nullptr, "the library does not export {}", QH_ENTRY_SYMBOL);
  return reinterpret_cast<qh_plugin_entry_fn>(symbol);
}

qh_offer make_offer(MockHost& host, const std::string& path) {
  qh_offer offer{};
  offer.struct_size = sizeof(qh_offer);
  offer.abi_major = QH_ABI_MAJOR;
  offer.abi_minor_min = 0;
  offer.abi_minor_max = QH_ABI_MINOR;
  offer.host = host.handle();
  offer.api = &host.api;
  offer.host_version = qh::to_abi(QUANTHOST_VERSION);
  offer.plugin_path = qh::to_abi(path);
  return offer;
}

OpenedPlugin::OpenedPlugin(MockHost& host, const Subject& subject) : host_(host) {
  const qh_plugin_entry_fn entry = open_entry(subject.path);
  const qh_offer offer = make_offer(host, subject.path);
  accept_.struct_size = sizeof(accept_);
  require_ok(host, entry(&offer, &accept_), "the entry");
  require(accept_.api != nullptr, "the entry returned QH_OK but no table");
  require(accept_.api->struct_size >= offsetof(qh_plugin_api, shutdown) + sizeof(void*),
          "the plugin's table says struct_size {}, its first version has {}",
          accept_.api->struct_size, sizeof(qh_plugin_api));
  require(accept_.api->describe != nullptr, "the plugin's table has no describe()");
}

OpenedPlugin::~OpenedPlugin() {
  if (accept_.api && accept_.api->shutdown) accept_.api->shutdown(accept_.plugin);
}

qh_quantizer_api OpenedPlugin::quantizer(std::string_view method) const {
  require(api().quantizer != nullptr,
          "the manifest promises method '{}', but the table has no quantizer()", method);
  const qh_quantizer_api* table = nullptr;
  require_ok(host_, api().quantizer(handle(), qh::to_abi(method), &table), "quantizer()");
  const qh_quantizer_api known = qh::copy_sized(table);
  require(known.create && known.destroy, "the table of '{}' lacks create or destroy", method);
  return known;
}

std::string require_error(MockHost& host, qh_status status, std::string_view what) {
  const RecordedError error = host.take_error();
  require(status != QH_OK, "{} succeeded, but has to fail", what);
  require(status > 0 && status <= QH_ERR_INTERNAL, "{} returned {}, which is no status of the ABI",
          what, status);
  require(!error.message.empty(), "{} failed with status {} without saying why (set_error)", what,
          status);
  require(error.kind == status, "{} returned status {} but recorded kind {}", what, status,
          error.kind);
  return error.message;
}

void require_ok(MockHost& host, qh_status status, std::string_view what) {
  const RecordedError error = host.take_error();
  require(status == QH_OK, "{} failed: {}", what,
          error.message.empty() ? "no text was given" : error.message);
}

}  // namespace quanthost::conformance

// A kernel package opened as a host opens it: through the plugin entry of its library.
#ifndef QUANTHOST_TESTS_BNB4_PACKAGE_LIBRARY_HPP
#define QUANTHOST_TESTS_BNB4_PACKAGE_LIBRARY_HPP

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <quanthost/abi/plugin.h>
#include <quanthost/packages/bnb4_kernels.h>

#include <string>

#include "tests/folders.hpp"

namespace quanthost::test {

class PackageLibrary {
 public:
  // kind: "cpu", "emulated"…; the library lies among the built plugins.
  explicit PackageLibrary(const std::string& kind) {
    const std::string path = built_plugin("qh_bnb4_" + kind);
    library_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library_) {
      last_error = dlerror();
      return;
    }
    const auto entry = reinterpret_cast<qh_plugin_entry_fn>(dlsym(library_, QH_ENTRY_SYMBOL));
    api_.struct_size = sizeof(api_);
    api_.set_error = [](qh_host* host, qh_status, qh_str message, qh_str) {
      reinterpret_cast<PackageLibrary*>(host)->last_error.assign(message.data, message.size);
    };
    qh_offer offer{};
    offer.struct_size = sizeof(offer);
    offer.abi_major = QH_ABI_MAJOR;
    offer.abi_minor_min = offer.abi_minor_max = QH_ABI_MINOR;
    offer.host = reinterpret_cast<qh_host*>(this);
    offer.api = &api_;
    offer.plugin_path = {path.data(), path.size()};
    accept_.struct_size = sizeof(accept_);
    if (entry(&offer, &accept_) != QH_OK) return;
    const void* table = nullptr;
    status = accept_.api->package(accept_.plugin, text("bitsandbytes"), text(QH_BNB4_KERNELS_ID),
                                  text(kind.c_str()), &table, &self);
    kernels = static_cast<const qh_bnb4_kernels*>(table);
  }
  PackageLibrary(const PackageLibrary&) = delete;
  PackageLibrary& operator=(const PackageLibrary&) = delete;
  ~PackageLibrary() {
    if (accept_.api) accept_.api->shutdown(accept_.plugin);
  }

  const qh_plugin_api& plugin_api() const { return *accept_.api; }
  qh_plugin* plugin() const { return accept_.plugin; }

  const qh_bnb4_kernels* kernels = nullptr;
  qh_package* self = nullptr;
  qh_status status = QH_ERR_INTERNAL;
  std::string last_error;

 private:
  static qh_str text(const char* value) { return {value, std::char_traits<char>::length(value)}; }

  void* library_ = nullptr;  // never closed: plugins are not
  qh_host_api api_{};
  qh_accept accept_{};
};

}  // namespace quanthost::test

#endif

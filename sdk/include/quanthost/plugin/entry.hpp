// The plugin itself and the one symbol it exports.
#pragma once

#include <quanthost/abi/plugin.h>

#include <memory>
#include <quanthost/plugin/quantizer.hpp>
#include <string>
#include <string_view>
#include <vector>

// Set by quanthost_add_plugin() from plugin.yaml, so that code and manifest cannot drift apart.
#ifndef QH_PLUGIN_ID
#define QH_PLUGIN_ID "unnamed"
#endif
#ifndef QH_PLUGIN_VERSION
#define QH_PLUGIN_VERSION "0"
#endif

namespace qh {

// A quantizer this plugin provides: the method's id, the flags of its table
// (QH_QUANTIZER_CONCURRENT), and a factory.
struct QuantizerEntry {
  std::string_view method;
  std::uint32_t flags;
  std::unique_ptr<Quantizer> (*make)(const Host&, const qh_create_args&);
};

// A kernel package: what the manifest says, and a function that finds out whether it works here and
// returns its table.
struct PackageEntry {
  std::string_view name;
  std::string_view version;
  std::string_view device_kind;
  std::string_view interface_id;
  const void* (*table)(const Host&,
                       qh_package** self);  // throws with the first cause when it cannot work
};

class Plugin {
 public:
  explicit Plugin(const Host& host) : host_(host) {}
  virtual ~Plugin() = default;

  const Host& host() const { return host_; }
  virtual std::vector<QuantizerEntry> quantizers() const { return {}; }
  virtual std::vector<PackageEntry> packages() const { return {}; }
  virtual void self_test(const Exec&) {}
  virtual const void* extension(std::string_view /*id*/) { return nullptr; }

 private:
  Host host_;
};

namespace detail {

inline Plugin* unwrap(qh_plugin* self) { return reinterpret_cast<Plugin*>(self); }

template <typename Body>
qh_status on_plugin(qh_plugin* self, Body&& body) noexcept {
  Plugin* plugin = unwrap(self);
  return plugin->host().guard([&] { body(*plugin); });
}

inline qh_status create_quantizer(qh_plugin* self, const qh_create_args* args, qh_quantizer** out) {
  return on_plugin(self, [&](Plugin& p) {
    const qh_create_args a = copy_sized(args);
    for (const QuantizerEntry& entry : p.quantizers()) {
      if (entry.method != from_abi(a.method)) continue;
      *out = wrap(entry.make(p.host(), a).release());
      return;
    }
    throw Error(QH_ERR_VALUE,
                "this plugin has no method '" + std::string(from_abi(a.method)) + "'");
  });
}

// One table for each value of the flags; the slots find the method through create's arguments.
inline const qh_quantizer_api* quantizer_table(std::uint32_t flags) {
  static const auto make = [](std::uint32_t f) {
    qh_quantizer_api t{};
    t.struct_size = sizeof(t);
    t.flags = f;
    t.create = create_quantizer;
    fill_quantizer_slots(t);
    return t;
  };
  static const qh_quantizer_api serial = make(0);
  static const qh_quantizer_api concurrent = make(QH_QUANTIZER_CONCURRENT);
  return flags & QH_QUANTIZER_CONCURRENT ? &concurrent : &serial;
}

inline qh_status describe(qh_plugin* self, qh_pair_sink out) {
  return on_plugin(self, [&](Plugin& p) {
    const auto emit = [&](std::string_view key, std::string_view value) {
      check(out.emit(out.ctx, to_abi(key), to_abi(value)));
    };
    emit("id", QH_PLUGIN_ID);
    emit("version", QH_PLUGIN_VERSION);
    for (const QuantizerEntry& q : p.quantizers()) emit("quantizer", q.method);
    for (const PackageEntry& k : p.packages())
      emit("package", std::string(k.name) + " " + std::string(k.version) + " " +
                          std::string(k.device_kind) + " " + std::string(k.interface_id));
  });
}

inline qh_status find_quantizer(qh_plugin* self, qh_str method, const qh_quantizer_api** out) {
  return on_plugin(self, [&](Plugin& p) {
    for (const QuantizerEntry& entry : p.quantizers()) {
      if (entry.method != from_abi(method)) continue;
      *out = quantizer_table(entry.flags);
      return;
    }
    throw Error(QH_ERR_KEY, "this plugin has no method '" + std::string(from_abi(method)) + "'");
  });
}

inline qh_status find_package(qh_plugin* self, qh_str name, qh_str interface_id, qh_str device_kind,
                              const void** table, qh_package** package) {
  return on_plugin(self, [&](Plugin& p) {
    for (const PackageEntry& entry : p.packages()) {
      if (entry.name != from_abi(name) || entry.interface_id != from_abi(interface_id) ||
          entry.device_kind != from_abi(device_kind))
        continue;
      *table = entry.table(p.host(), package);
      return;
    }
    throw Error(QH_ERR_KEY, "this plugin provides no package '" + std::string(from_abi(name)) +
                                "' with interface " + std::string(from_abi(interface_id)) +
                                " for " + std::string(from_abi(device_kind)));
  });
}

inline const qh_plugin_api* plugin_table() {
  static const qh_plugin_api table = {
      sizeof(qh_plugin_api),
      0,
      describe,
      find_quantizer,
      find_package,
      [](qh_plugin* self, const qh_exec* exec) {
        return on_plugin(self, [&](Plugin& p) { p.self_test(Exec(p.host(), exec)); });
      },
      [](qh_plugin* self, qh_str id) -> const void* {
        const void* found = nullptr;
        on_plugin(self, [&](Plugin& p) { found = p.extension(from_abi(id)); });
        return found;
      },
      [](qh_plugin* self) { delete unwrap(self); },
  };
  return &table;
}

// Which minor version to speak; throws one clear sentence when there is none.
inline std::uint32_t negotiate(const qh_offer& offer) {
  const auto version = [](std::uint32_t major, std::uint32_t minor) {
    return std::to_string(major) + "." + std::to_string(minor);
  };
  const std::uint32_t minor = QH_ABI_MINOR;
  if (offer.abi_major != QH_ABI_MAJOR || offer.abi_minor_max < minor || offer.abi_minor_min > minor)
    throw Error(QH_ERR_RUNTIME,
                std::string(QH_PLUGIN_ID) + " was built for plugin ABI " +
                    version(QH_ABI_MAJOR, QH_ABI_MINOR) + ", and this host (" +
                    std::string(from_abi(offer.host_version)) + ") offers " +
                    version(offer.abi_major, offer.abi_minor_min) + " to " +
                    version(offer.abi_major, offer.abi_minor_max),
                "install a quanthost that offers this version, or rebuild the plugin with an SDK "
                "of this host");
  return QH_ABI_MINOR;
}

template <typename P>
qh_status enter(const qh_offer* theirs, qh_accept* accept) noexcept {
  if (!theirs || !accept) return QH_ERR_VALUE;
  const qh_offer offer = copy_sized(theirs);
  if (!offer.api) return QH_ERR_VALUE;
  return guard(offer.host, copy_sized(offer.api), [&] {
    const std::uint32_t minor = negotiate(offer);
    auto plugin =
        std::make_unique<P>(Host(offer.host, offer.api, std::string(from_abi(offer.plugin_path))));
    Plugin* base = plugin.release();
    write_sized(accept, qh_accept{sizeof(qh_accept), minor, reinterpret_cast<qh_plugin*>(base),
                                  plugin_table()});
  });
}

}  // namespace detail
}  // namespace qh

// Once in one source file, at global scope.
#define QH_PLUGIN(PluginClass)                                                    \
  extern "C" __attribute__((visibility("default"))) qh_status qh_plugin_entry_v1( \
      const qh_offer* offer, qh_accept* accept) {                                 \
    return ::qh::detail::enter<PluginClass>(offer, accept);                       \
  }

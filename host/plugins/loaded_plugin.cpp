#include "host/plugins/loaded_plugin.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>

#include "host/plugins/dynamic_library.hpp"

namespace quanthost {
namespace {

// Plugins are never unloaded: their threads' storage, static objects and device contexts may
// outlive any use of ours.
struct Registry {
  struct Slot {
    std::unique_ptr<LoadedPlugin> plugin;
    std::optional<Error> failure;  // an entry point runs once, also when it fails
  };
  std::mutex mutex;
  std::map<std::string, Slot> plugins;  // by real path
};

Registry& registry() {
  static Registry* instance = new Registry;
  return *instance;
}

constexpr std::size_t kMaxDescription = 10'000;

qh_status take_pair(void* ctx, qh_str key, qh_str value) noexcept {
  return guard_call([&] {
    auto& out = *static_cast<Description*>(ctx);
    if (out.size() >= kMaxDescription)
      fail(ErrorKind::kValue, "describe emits more than {} entries", kMaxDescription);
    out.emplace_back(from_abi(key), from_abi(value));
  });
}

std::set<std::string> all_of(const Description& description, std::string_view key) {
  std::set<std::string> out;
  for (const auto& [name, value] : description) {
    if (name == key) out.insert(value);
  }
  return out;
}

void compare(const char* what, const std::set<std::string>& written,
             const std::set<std::string>& running, std::vector<std::string>& out) {
  for (const std::string& item : written) {
    if (!running.contains(item))
      out.push_back(
          fmt::format("the manifest has {} '{}', the plugin itself does not", what, item));
  }
  for (const std::string& item : running) {
    if (!written.contains(item))
      out.push_back(
          fmt::format("the plugin itself has {} '{}', its manifest does not", what, item));
  }
}

}  // namespace

LoadedPlugin& LoadedPlugin::open(const std::filesystem::path& real_path, const Manifest& manifest) {
  std::lock_guard lock(registry().mutex);
  auto& [plugin, failure] = registry().plugins[real_path.string()];
  if (failure) throw *failure;
  if (plugin) return *plugin;
  try {
    plugin.reset(new LoadedPlugin(real_path, manifest));
  } catch (const Error& e) {
    failure = e;
    throw;
  }
  return *plugin;
}

LoadedPlugin::LoadedPlugin(const std::filesystem::path& real_path, const Manifest& manifest)
    : file_(real_path),
      manifest_(manifest),
      host_{manifest.id, real_path.string(), "quanthost " QUANTHOST_VERSION} {
  try {
    DynamicLibrary library(real_path);
    void* symbol = library.symbol(QH_ENTRY_SYMBOL);
    if (!symbol) {
      throw Error(ErrorKind::kRuntime, "it exports no symbol " QH_ENTRY_SYMBOL,
                  "build it with quanthost_add_plugin() and the macro QH_PLUGIN");
    }
    library.keep_for_ever();  // from the entry on, nothing of it may go away
    negotiate(reinterpret_cast<qh_plugin_entry_fn>(symbol));
  } catch (const Error& e) {
    throw e.within(fmt::format("plugin {} ({})", manifest.id, real_path.string()));
  }
}

void LoadedPlugin::negotiate(qh_plugin_entry_fn entry) {
  constexpr std::uint32_t kMinorMin = 0;  // every minor version up to ours is served
  const qh_offer offer{sizeof(qh_offer),
                       QH_ABI_MAJOR,
                       kMinorMin,
                       QH_ABI_MINOR,
                       &host_,
                       &host_api(),
                       to_abi(host_.host_version),
                       to_abi(host_.plugin_path)};
  qh_accept accept{};
  accept.struct_size = sizeof(qh_accept);
  call_plugin("its entry point", [&] { return entry(&offer, &accept); });
  if (accept.abi_minor > QH_ABI_MINOR) {
    fail(ErrorKind::kRuntime, "its entry point answered with ABI {}.{}, which was not offered",
         QH_ABI_MAJOR, accept.abi_minor);
  }
  handle_ = accept.plugin;
  api_ = complete(accept.api, manifest_.id);
}

Description LoadedPlugin::describe() const {
  Description out;
  call_plugin(fmt::format("{}: describe", manifest_.id), [&] {
    return api_.describe(handle_, {&out, take_pair});
  });
  return out;
}

qh_quantizer_api LoadedPlugin::quantizer(std::string_view method) const {
  const std::string where = fmt::format("{}: method {}", manifest_.id, method);
  const qh_quantizer_api* table = nullptr;
  call_plugin(where, [&] { return api_.quantizer(handle_, to_abi(method), &table); });
  return complete(table, where);
}

LoadedPlugin::Package LoadedPlugin::package(const std::string& name,
                                            const std::string& interface_id,
                                            const std::string& device_kind) {
  std::lock_guard lock(mutex_);
  Package& known = packages_[{name, interface_id, device_kind}];
  if (known.table) return known;
  const std::string where = fmt::format("{}: package {} for {}", manifest_.id, name, device_kind);
  Package fresh;
  call_plugin(where, [&] {
    return api_.package(handle_, to_abi(name), to_abi(interface_id), to_abi(device_kind),
                        &fresh.table, &fresh.self);
  });
  if (!fresh.table) fail(ErrorKind::kRuntime, "{}: said yes but gave no table", where);
  return known = fresh;
}

std::vector<std::string> differences(const Manifest& manifest, const Description& description) {
  std::vector<std::string> out;
  std::set<std::string> methods, packages, running_packages;
  for (const QuantizerSpec& spec : manifest.quantizers) methods.insert(spec.method);
  const auto package_text = [](std::string_view name, std::string_view version,
                               std::string_view device, std::string_view interface_id) {
    return fmt::format("{} {} {}{}{}", normalized_name(name), version, device,
                       interface_id.empty() ? "" : " ", interface_id);
  };
  for (const PackageSpec& p : manifest.packages) {
    packages.insert(package_text(p.name, p.version.text(), p.device, p.interface_id));
  }
  for (std::string text : all_of(description, "package")) {
    while (text.ends_with(' ')) text.pop_back();
    const auto name_end = text.find(' ');
    running_packages.insert(normalized_name(text.substr(0, name_end)) +
                            (name_end == text.npos ? "" : text.substr(name_end)));
  }
  compare("id", {manifest.id}, all_of(description, "id"), out);
  compare("version", {manifest.version.text()}, all_of(description, "version"), out);
  compare("quantizer", methods, all_of(description, "quantizer"), out);
  compare("package", packages, running_packages, out);
  return out;
}

}  // namespace quanthost

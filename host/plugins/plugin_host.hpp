// Start here: what the rest of the host uses to find, resolve and open plugins.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/plugins/discovery.hpp"
#include "host/plugins/loaded_plugin.hpp"
#include "host/plugins/resolver.hpp"

namespace quanthost {

// The packages the host provides itself, with the release whose behaviour each matches.
const std::vector<PackageSpec>& built_in_packages();  // accelerate, optimum
inline constexpr const char* kHostId = "quanthost";   // the "plugin" that provides them

struct PluginHostOptions {
  std::vector<std::filesystem::path> plugin_paths;  // searched first
  std::optional<TrustPolicy> trust;                 // instead of the user's own setting
  bool use_cache = true;
  bool probe_before_first_use = true;
  std::chrono::milliseconds probe_time_limit{10'000};
  std::optional<SearchContext> context;  // instead of this process's environment
};

// Nobody provides the method that was asked for: a ValueError for those who load, as in
// transformers, and a plugin that is not there for those who install.
class NoSuchMethod : public Error {
 public:
  NoSuchMethod(std::string message, std::string hint)
      : Error(ErrorKind::kValue, std::move(message), std::move(hint)) {}
};

// A quantization method and the plugin that provides it. Borrowed from the PluginHost.
struct MethodChoice {
  const PluginRecord* plugin = nullptr;
  const QuantizerSpec* spec = nullptr;
};

struct Plan {
  MethodChoice method;
  std::vector<std::string> devices;      // kinds: "cpu", "cuda", "hip", …
  std::vector<PlannedPackage> packages;  // versions by name, built-ins included
  std::vector<std::string> plugin_order;
};

// A plan whose plugins are open. Copyable; what it points to lives as long as the process.
class OpenedPlan {
 public:
  const QuantizerSpec& spec() const { return *spec_; }
  LoadedPlugin& plugin() const { return *plugin_; }
  const qh_quantizer_api& quantizer() const { return quantizer_; }  // complete: no slot is NULL

  // Version of a package the plan resolved; empty when it resolved none of that name.
  std::string package_version(std::string_view name) const;
  // The function table that a package provides for a kind of device. Throws kKey when the plan has
  // no such package, and with the provider's own first cause when it cannot work here.
  LoadedPlugin::Package package(std::string_view name, const std::string& interface_id,
                                const std::string& device) const;
  const std::vector<PlannedPackage>& packages() const { return packages_; }

 private:
  friend class PluginHost;
  const QuantizerSpec* spec_ = nullptr;  // of plugin_'s manifest
  LoadedPlugin* plugin_ = nullptr;
  qh_quantizer_api quantizer_{};
  std::vector<PlannedPackage> packages_;
  std::map<std::string, LoadedPlugin*> providers_;  // by plugin id
};

// One thread at a time, except that an OpenedPlan may be used from any.
class PluginHost {
 public:
  explicit PluginHost(PluginHostOptions options = {});
  ~PluginHost();
  PluginHost(const PluginHost&) = delete;
  PluginHost& operator=(const PluginHost&) = delete;

  // Searches on the first call; never opens a plugin.
  const Discovery& discovery();
  const std::vector<SearchDirectory>& search_path() const { return path_; }
  const TrustSettings& trust() const { return trust_; }
  const SearchContext& context() const { return context_; }

  // By id, or by the path of a file, which may lie outside of the search path. Throws kKey, with
  // near ids as a hint.
  const PluginRecord& find_plugin(const std::string& id_or_file);

  // "bitsandbytes_4bit", or "org.example.bnb/bitsandbytes_4bit" when several plugins have it.
  // Throws NoSuchMethod, and
  // kImport or kRuntime with the reason when the plugin that does cannot be used.
  MethodChoice find_method(std::string_view method);
  // The method that loads a checkpoint with this quantization_config: quant_method and every rule
  // of `match` agree; the highest number of rules wins, a tie is an error.
  MethodChoice match_checkpoint(const Json& quantization_config);
  std::vector<MethodChoice> methods();  // of usable plugins, by name

  // From manifests alone. `try_resolve` gives the proof instead of throwing kImport.
  Plan resolve(const MethodChoice& method, const std::vector<std::string>& device_kinds);
  Resolution try_resolve(const std::vector<MethodChoice>& methods,
                         const std::vector<std::string>& device_kinds);

  // Probes each plugin of the plan in isolation unless this very file passed before, then opens
  // them, providers first.
  OpenedPlan open(const Plan& plan);

  // Opens every plugin in a process of its own, all at the same time, and records the results.
  // Those that fail are quarantined, and `discovery` says so afterwards.
  void probe(const std::vector<const PluginRecord*>& plugins);
  void probe_all();
  const Quarantine::Entry* quarantine_entry(const PluginRecord& plugin) const;  // null: not held
  // Ends a quarantine and probes again; the record after that.
  const PluginRecord& retry(const std::string& id_or_file);

 private:
  std::vector<ResolverPlugin> resolver_plugins();
  void ensure_probed(const std::vector<std::string>& plugin_ids);
  void search();

  PluginHostOptions options_;
  SearchContext context_;
  std::vector<SearchDirectory> path_;
  TrustSettings trust_;
  LibrarySearch libraries_;
  RegistryCache cache_;
  Quarantine quarantine_;
  std::optional<Discovery> discovery_;
  std::vector<std::unique_ptr<PluginRecord>> outside_;  // files named by path
};

}  // namespace quanthost

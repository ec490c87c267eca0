#include "host/plugins/plugin_host.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/base/log.hpp"
#include "host/base/nearest_name.hpp"
#include "host/plugins/isolated_probe.hpp"

namespace quanthost {
namespace {

namespace fs = std::filesystem;

fs::path cache_file(const SearchContext& context, bool use_cache, const char* name) {
  const fs::path directory = use_cache ? user_cache_directory(context) : fs::path();
  return directory.empty() ? fs::path() : directory / name;
}

// Rules of `match` that hold for this config; nullopt when one does not.
std::optional<std::size_t> matching_rules(const QuantizerSpec& spec, const Json& config) {
  if (config.value("quant_method", "") != spec.quant_method) return std::nullopt;
  for (const auto& [key, value] : spec.match.items()) {
    const auto found = config.find(key);
    if (found == config.end() || *found != Json(value)) return std::nullopt;
  }
  return spec.match.size();
}

// "did you mean X?", or else what to do.
std::string suggestion(std::string_view written, const std::vector<std::string>& known,
                       const std::string& otherwise) {
  const auto nearest = nearest_name(written, known);
  return nearest ? fmt::format("did you mean '{}'?", *nearest) : otherwise;
}

std::string what_there_is(std::vector<std::string> methods) {
  if (methods.empty()) return "there are no methods here";
  std::sort(methods.begin(), methods.end());
  methods.erase(std::unique(methods.begin(), methods.end()), methods.end());
  return fmt::format("there are {}", fmt::join(methods, ", "));
}

[[noreturn]] void refuse_unusable(const PluginRecord& plugin) {
  const auto kind =
      plugin.state == PluginState::kUnavailable ? ErrorKind::kRuntime : ErrorKind::kImport;
  throw Error(kind,
              fmt::format("plugin {} ({}) is {}: {}", plugin.label(), plugin.file.string(),
                          name_of(plugin.state), plugin.reason),
              plugin.hint);
}

}  // namespace

const std::vector<PackageSpec>& built_in_packages() {
  static const std::vector<PackageSpec> kPackages{
      {"accelerate", "accelerate", Version::parse("1.15.0"), "any", "", 0},
      {"optimum", "optimum", Version::parse("2.3.0"), "any", "", 0}};
  return kPackages;
}

PluginHost::PluginHost(PluginHostOptions options)
    : options_(std::move(options)),
      context_(options_.context ? *options_.context : SearchContext::of_this_process()),
      libraries_(context_.privileged),
      cache_(cache_file(context_, options_.use_cache, "plugins.json")),
      quarantine_(cache_file(context_, options_.use_cache, "quarantine.json")) {
  context_.explicit_paths.insert(context_.explicit_paths.begin(), options_.plugin_paths.begin(),
                                 options_.plugin_paths.end());
  path_ = plugin_search_path(context_);
  const fs::path config = user_config_directory(context_);
  trust_ = TrustSettings::load(config.empty() ? config : config / "trust.json");
  if (options_.trust) trust_.policy = *options_.trust;
}

PluginHost::~PluginHost() {
  cache_.save();
  quarantine_.save();
}

void PluginHost::search() {
  discovery_ = Discoverer(trust_, libraries_, cache_, quarantine_).search(path_);
  cache_.save();
}

const Discovery& PluginHost::discovery() {
  if (!discovery_) search();
  return *discovery_;
}

const PluginRecord& PluginHost::find_plugin(const std::string& id_or_file) {
  std::vector<std::string> ids;
  for (const PluginRecord& plugin : discovery().plugins) {
    if (plugin.label() == id_or_file) return plugin;
    ids.push_back(plugin.label());
  }
  std::error_code error;
  const bool is_path = id_or_file.find('/') != id_or_file.npos || id_or_file.ends_with(".so");
  if (is_path && fs::symlink_status(id_or_file, error).type() != fs::file_type::not_found) {
    const fs::path file = fs::absolute(id_or_file).lexically_normal();
    for (const PluginRecord& plugin : discovery().plugins) {
      if (plugin.file == file) return plugin;
    }
    const fs::path directory = fs::canonical(file.parent_path(), error);
    const std::string fault = trust_.policy == TrustPolicy::kOff ? "" : permission_fault(directory);
    outside_.push_back(
        std::make_unique<PluginRecord>(Discoverer(trust_, libraries_, cache_, quarantine_)
                                           .judge(file, "named on the command line", fault)));
    return *outside_.back();
  }
  throw Error(ErrorKind::kKey,
              is_path ? fmt::format("there is no file {}", id_or_file)
                      : fmt::format("there is no plugin '{}' in the search path", id_or_file),
              suggestion(id_or_file, ids,
                         "see 'quanthost plugins list --all' and 'quanthost plugins paths'"));
}

std::vector<MethodChoice> PluginHost::methods() {
  std::vector<MethodChoice> out;
  for (const PluginRecord& plugin : discovery().plugins) {
    if (!plugin.usable()) continue;
    for (const QuantizerSpec& spec : plugin.content.manifest->quantizers)
      out.push_back({&plugin, &spec});
  }
  std::stable_sort(out.begin(), out.end(), [](const MethodChoice& a, const MethodChoice& b) {
    return a.spec->method < b.spec->method;
  });
  return out;
}

MethodChoice PluginHost::find_method(std::string_view method) {
  std::vector<MethodChoice> usable;
  std::vector<const PluginRecord*> unusable;
  std::vector<std::string> names;
  for (const PluginRecord& plugin : discovery().plugins) {
    if (!plugin.content.manifest || plugin.state == PluginState::kShadowed) continue;
    for (const QuantizerSpec& spec : plugin.content.manifest->quantizers) {
      names.push_back(spec.method);
      if (spec.method != method && plugin.id() + "/" + spec.method != method) continue;
      if (plugin.usable()) {
        usable.push_back({&plugin, &spec});
      } else {
        unusable.push_back(&plugin);
      }
    }
  }
  if (usable.size() == 1) return usable.front();
  if (usable.size() > 1) {
    throw Error(ErrorKind::kValue,
                fmt::format("method '{}' is provided by {} and by {}", method,
                            usable[0].plugin->id(), usable[1].plugin->id()),
                fmt::format("name the plugin too: {}/{}", usable[0].plugin->id(), method));
  }
  if (!unusable.empty()) refuse_unusable(*unusable.front());
  throw NoSuchMethod(
      fmt::format("no plugin provides the quantization method '{}'", method),
      suggestion(method, names,
                 fmt::format("{}; put a plugin that has it into a directory of 'quanthost "
                             "plugins paths'",
                             what_there_is(names))));
}

MethodChoice PluginHost::match_checkpoint(const Json& quantization_config) {
  std::vector<MethodChoice> best;
  const PluginRecord* unusable = nullptr;
  std::size_t most = 0;
  for (const PluginRecord& plugin : discovery().plugins) {
    if (!plugin.content.manifest || plugin.state == PluginState::kShadowed) continue;
    for (const QuantizerSpec& spec : plugin.content.manifest->quantizers) {
      const auto rules = matching_rules(spec, quantization_config);
      if (!rules) continue;
      if (!plugin.usable()) {
        unusable = &plugin;
        continue;
      }
      if (*rules > most || best.empty()) best.clear();
      if (best.empty()) most = *rules;
      if (*rules == most) best.push_back({&plugin, &spec});
    }
  }
  if (best.size() == 1) return best.front();
  const std::string method = quantization_config.value("quant_method", "");
  if (best.size() > 1) {
    throw Error(
        ErrorKind::kValue,
        fmt::format("{}/{} and {}/{} both match this checkpoint's quantization_config equally",
                    best[0].plugin->id(), best[0].spec->method, best[1].plugin->id(),
                    best[1].spec->method),
        "name the one to use with --method");
  }
  if (unusable) refuse_unusable(*unusable);
  if (method.empty()) fail(ErrorKind::kValue, "quantization_config has no quant_method");
  throw NoSuchMethod(fmt::format("no plugin loads checkpoints with quant_method '{}'", method),
                     "put the plugin that does into a directory of 'quanthost plugins paths'; "
                     "'quanthost methods' shows what is there");
}

std::vector<ResolverPlugin> PluginHost::resolver_plugins() {
  std::vector<ResolverPlugin> out;
  ResolverPlugin& host = out.emplace_back();
  host.id = kHostId;
  host.version = Version::parse(QUANTHOST_VERSION);
  host.packages = built_in_packages();
  host.built_in = true;
  for (const PluginRecord& record : discovery().plugins) {
    // Of one id only the first counts; the discovery put it first.
    if (!record.content.manifest || record.id() == out.back().id) continue;
    const Manifest& manifest = *record.content.manifest;
    out.push_back({manifest.id, manifest.version, manifest.packages, manifest.requirements,
                   manifest.conflicts,
                   record.usable() ? std::string()
                                   : fmt::format("is {}: {}", name_of(record.state), record.reason),
                   false});
  }
  return out;
}

Resolution PluginHost::try_resolve(const std::vector<MethodChoice>& methods,
                                   const std::vector<std::string>& device_kinds) {
  std::vector<ResolverGoal> goals;
  goals.reserve(methods.size());
  for (const MethodChoice& method : methods) {
    goals.push_back(
        {method.plugin->id(), method.spec->method, method.spec->required_packages, device_kinds});
  }
  return quanthost::resolve(resolver_plugins(), goals);
}

Plan PluginHost::resolve(const MethodChoice& method, const std::vector<std::string>& device_kinds) {
  Resolution resolution = try_resolve({method}, device_kinds);
  if (!resolution.ok) {
    throw Error(ErrorKind::kImport,
                fmt::format("the packages that method {} needs cannot be provided:\n{}",
                            method.spec->method, resolution.proof()),
                fmt::format("see 'quanthost plugins deps {}'", method.plugin->id()));
  }
  return {method, device_kinds, std::move(resolution.packages), std::move(resolution.plugin_order)};
}

void PluginHost::probe(const std::vector<const PluginRecord*>& plugins) {
  const auto helper = find_probe_helper(context_);
  if (!helper) {
    throw Error(ErrorKind::kOs,
                "the program quanthost-probe, which opens plugins in isolation, is not installed",
                "reinstall quanthost");
  }
  std::vector<fs::path> files;
  std::vector<std::pair<fs::path, FileIdentity>>
      subjects;  // copies: the records go when we search again
  for (const PluginRecord* plugin : plugins) {
    files.push_back(plugin->real_path);
    subjects.emplace_back(plugin->real_path, plugin->identity);
  }
  const auto results = probe_in_isolation(*helper, files, options_.probe_time_limit);
  for (std::size_t i = 0; i < results.size(); ++i) {
    for (const std::string& warning : results[i].warnings)
      log::warn("plugins", "{}: {}", files[i].string(), warning);
    if (results[i].ok) {
      cache_.set_probed(subjects[i].first, subjects[i].second);
    } else {
      quarantine_.add(subjects[i].first, subjects[i].second, results[i].reason,
                      results[i].output_tail);
    }
  }
  quarantine_.save();
  search();
}

void PluginHost::probe_all() {
  std::vector<const PluginRecord*> subjects;
  for (const PluginRecord& plugin : discovery().plugins) {
    if (plugin.usable() && !plugin.probed) subjects.push_back(&plugin);
  }
  if (!subjects.empty()) probe(subjects);
}

const Quarantine::Entry* PluginHost::quarantine_entry(const PluginRecord& plugin) const {
  return quarantine_.find(plugin.real_path, plugin.identity);
}

const PluginRecord& PluginHost::retry(const std::string& id_or_file) {
  const fs::path real_path = find_plugin(id_or_file).real_path;
  quarantine_.release(real_path);
  search();
  const PluginRecord& released = find_plugin(id_or_file);
  if (!released.usable()) return released;
  probe({&released});
  quarantine_.save();
  return find_plugin(id_or_file);
}

void PluginHost::ensure_probed(const std::vector<std::string>& plugin_ids) {
  std::vector<const PluginRecord*> subjects;
  for (const std::string& id : plugin_ids) {
    const PluginRecord& plugin = find_plugin(id);
    if (!plugin.usable()) refuse_unusable(plugin);
    if (!plugin.probed) subjects.push_back(&plugin);
  }
  if (subjects.empty() || !options_.probe_before_first_use) return;
  if (!find_probe_helper(context_)) {
    log::warn("plugins",
              "quanthost-probe is not installed: plugins are opened without having been tried in "
              "isolation");
    return;
  }
  probe(subjects);
  for (const std::string& id : plugin_ids) {
    if (const PluginRecord& plugin = find_plugin(id); !plugin.usable()) refuse_unusable(plugin);
  }
}

OpenedPlan PluginHost::open(const Plan& plan) {
  const std::string plugin_id = plan.method.plugin->id(), method = plan.method.spec->method;
  ensure_probed(
      plan.plugin_order);  // may search again: plan.method's records are not touched after this
  OpenedPlan out;
  out.packages_ = plan.packages;
  for (const std::string& id : plan.plugin_order) {
    const PluginRecord& record = find_plugin(id);
    if (identify_file(record.real_path) != record.identity) {
      fail(ErrorKind::kOs, "plugin {} ({}) changed while it was being used", id,
           record.file.string());
    }
    out.providers_[id] = &LoadedPlugin::open(record.real_path, *record.content.manifest);
  }
  out.plugin_ = out.providers_.at(plugin_id);
  out.spec_ = out.plugin_->manifest().find_quantizer(method);
  out.quantizer_ = out.plugin_->quantizer(method);
  return out;
}

std::string OpenedPlan::package_version(std::string_view name) const {
  const std::string key = normalized_name(name);
  for (const PlannedPackage& package : packages_) {
    if (normalized_name(package.name) == key) return package.version;
  }
  return {};
}

LoadedPlugin::Package OpenedPlan::package(std::string_view name, const std::string& interface_id,
                                          const std::string& device) const {
  const std::string key = normalized_name(name);
  for (const PlannedPackage& package : packages_) {
    const auto& ids = package.interfaces;
    const bool serves = package.device == "any" || package.device == device;
    if (normalized_name(package.name) != key || !serves || package.built_in) continue;
    if (std::find(ids.begin(), ids.end(), interface_id) == ids.end()) continue;
    return providers_.at(package.plugin_id)->package(package.name, interface_id, package.device);
  }
  throw Error(ErrorKind::kKey,
              fmt::format("this plan has no package {} with interface {} for {}", name,
                          interface_id, device),
              "name it under required_packages in the plugin's manifest, with its interface");
}

}  // namespace quanthost

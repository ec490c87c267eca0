#include <fmt/ranges.h>

#include "host/api/host_state.hpp"

namespace quanthost::api {
namespace {

PluginHostOptions plugin_options(HostOptions options) {
  PluginHostOptions out;
  out.plugin_paths = std::move(options.plugin_paths);
  out.use_cache = options.use_cache;
  out.probe_before_first_use = options.isolate_first_use;
  out.probe_time_limit = options.probe_time_limit;
  if (!options.trust.empty()) out.trust = parse_trust_policy(options.trust);
  return out;
}

std::shared_ptr<const log::Destination> log_destination(const HostOptions& options) {
  auto out = std::make_shared<log::Destination>();
  out->level = static_cast<log::Level>(options.log_level);
  if (options.log) {
    out->sink = [sink = options.log](log::Level level, std::string_view source,
                                     std::string_view message) {
      sink(static_cast<LogLevel>(level), source, message);
    };
  }
  return out;
}

PluginInfo info_of(const PluginRecord& record) {
  PluginInfo info;
  info.id = record.label();
  info.file = record.file;
  info.state = name_of(record.state);
  info.reason = record.reason;
  info.hint = record.hint;
  if (!record.content.manifest) return info;
  const Manifest& manifest = *record.content.manifest;
  info.version = manifest.version.text();
  info.abi = fmt::format("{}.{}", manifest.abi_major, manifest.abi_minor);
  info.description = manifest.description;
  for (const QuantizerSpec& spec : manifest.quantizers) info.methods.push_back(spec.method);
  for (const PackageSpec& package : manifest.packages) {
    info.packages.push_back(
        fmt::format("{} {} ({})", package.name, package.version.text(), package.device));
  }
  return info;
}

MethodInfo info_of(const MethodChoice& choice) {
  const QuantizerSpec& spec = *choice.spec;
  MethodInfo info;
  info.name = spec.method;
  info.quant_method = spec.quant_method;
  info.plugin = choice.plugin->id();
  info.requires_calibration = spec.requires_calibration;
  for (const Requirement& need : spec.required_packages)
    info.required_packages.push_back(need.text());
  for (const ConfigField& field : spec.config)
    info.options.push_back({field.name, field.type, field.default_value.dump(), field.help});
  return info;
}

}  // namespace

Host::State::State(HostOptions options)
    : log(log_destination(options)), plugins(plugin_options(std::move(options))) {}

Host::Host(HostOptions options) : state_(std::make_shared<State>(std::move(options))) {}
Host::Host(Host&&) noexcept = default;
Host& Host::operator=(Host&&) noexcept = default;
Host::~Host() = default;

std::vector<PluginInfo> Host::plugins() const {
  const log::Scope logging(state_->log.get());
  const Turns::Turn turn(state_->turns, "host");
  std::vector<PluginInfo> out;
  for (const PluginRecord& record : state_->plugins.discovery().plugins)
    out.push_back(info_of(record));
  return out;
}

std::vector<MethodInfo> Host::methods() const {
  const log::Scope logging(state_->log.get());
  const Turns::Turn turn(state_->turns, "host");
  std::vector<MethodInfo> out;
  for (const MethodChoice& choice : state_->plugins.methods()) out.push_back(info_of(choice));
  return out;
}

std::vector<SearchFolder> Host::search_path() const {
  std::vector<SearchFolder> out;
  for (const SearchDirectory& folder : state_->plugins.search_path())
    out.push_back({folder.path, folder.origin});
  return out;
}

std::string_view version() { return QUANTHOST_VERSION; }

CancelSource::CancelSource() : state_(std::make_shared<State>()) {}
void CancelSource::cancel() noexcept { state_->token.cancel(); }
bool CancelSource::cancelled() const noexcept { return state_->token.cancelled(); }
void CancelSource::reset() noexcept { state_->token.reset(); }

Watched::Watched(ProgressCallback callback, CancelSource source)
    : source_(std::move(source)),
      token_(&CancelAccess::token(source_)),
      callback_(std::move(callback)),
      progress_(
          [this](const quanthost::ProgressReport& now) {
            if (!callback_) return;
            const ProgressReport report{
                now.stage,      now.unit,    now.current,          now.done,
                now.total,      now.seconds, now.units_per_second, now.seconds_left,
                now.stage_ended};
            if (!callback_(report)) token_.cancel();
          },
          &token_) {}

void Watched::release() {
  token_.detach();
  token_.reset();  // stopped too late to stop anything
  callback_ = nullptr;
}

const OptionNames& option_names() {
  static const OptionNames kNames{"method",     "settings",       "quantization_file",
                                  "device_map", "max_memory",     "max_queue_bytes",
                                  "dtype",      "Host::methods()"};
  return kNames;
}

}  // namespace quanthost::api

#include "host/cli/plugin_view.hpp"

#include "host/cli/session.hpp"

namespace quanthost::cli {
namespace {

OrderedJson requirement_json(const Requirement& requirement) {
  return {{"name", requirement.name},
          {"version", requirement.constraints.text()},
          {"interface", requirement.interface_id},
          {"device", requirement.device},
          {"optional", requirement.optional}};
}

OrderedJson requirements_json(const std::vector<Requirement>& requirements) {
  OrderedJson out = OrderedJson::array();
  for (const Requirement& requirement : requirements) out.push_back(requirement_json(requirement));
  return out;
}

OrderedJson provides_json(const Manifest& manifest) {
  OrderedJson quantizers = OrderedJson::array(), packages = OrderedJson::array();
  for (const QuantizerSpec& spec : manifest.quantizers) quantizers.push_back(quantizer_json(spec));
  for (const PackageSpec& package : manifest.packages) {
    packages.push_back({{"name", package.name},
                        {"version", package.version.text()},
                        {"device", package.device},
                        {"interface", package.interface_id}});
  }
  return {{"quantizers", quantizers}, {"packages", packages}};
}

const char* name_of_level(TrustVerdict::Level level) {
  switch (level) {
    case TrustVerdict::Level::kTrusted:
      return "trusted";
    case TrustVerdict::Level::kUnverified:
      return "unverified";
    case TrustVerdict::Level::kRefused:
      return "refused";
  }
  return "refused";
}

}  // namespace

OrderedJson quantizer_json(const QuantizerSpec& spec) {
  OrderedJson fields = OrderedJson::array();
  for (const ConfigField& field : spec.config) {
    fields.push_back({{"name", field.name},
                      {"type", field.type},
                      {"default", field.default_value},
                      {"choices", field.choices},
                      {"nullable", field.nullable},
                      {"exact", field.exact},
                      {"loading", field.loading},
                      {"help", field.help}});
  }
  return {{"method", spec.method},
          {"quant_method", spec.quant_method},
          {"match", spec.match},
          {"requires_calibration", spec.requires_calibration},
          {"requires_parameters_quantization", spec.requires_parameters_quantization},
          {"use_keep_in_fp32_modules", spec.use_keep_in_fp32_modules},
          {"required_packages", requirements_json(spec.required_packages)},
          {"config", fields}};
}

std::string method_text(const QuantizerSpec& spec) {
  std::string out = fmt::format("method {}  (quant_method {}{})", spec.method, spec.quant_method,
                                spec.match.empty() ? "" : ", when " + spec.match.dump());
  for (const Requirement& requirement : spec.required_packages) {
    out += fmt::format("\n  requires {}{}", requirement.text(),
                       requirement.optional ? " (optional)" : "");
  }
  if (spec.requires_calibration)
    out += "\n  needs calibration data, unless the checkpoint is quantized already";
  std::vector<std::vector<std::string>> rows;
  for (const ConfigField& field : spec.config) {
    const std::string nothing = field.nullable ? "null" : "-";
    rows.push_back({"  " + field.name, field.type,
                    field.default_value.is_null() ? nothing : field.default_value.dump(),
                    field.help});
  }
  return rows.empty() ? out : out + "\n" + format_table(rows);
}

OrderedJson to_json(const PluginRecord& plugin) {
  OrderedJson out{{"id", plugin.label()},           {"state", name_of(plugin.state)},
                  {"reason", plugin.reason},        {"hint", plugin.hint},
                  {"file", plugin.file.string()},   {"real_path", plugin.real_path.string()},
                  {"found_through", plugin.origin}, {"probed", plugin.probed}};
  if (!plugin.content.manifest) return out;
  const Manifest& manifest = *plugin.content.manifest;
  out.update(OrderedJson{
      {"name", manifest.name},
      {"version", manifest.version.text()},
      {"abi", fmt::format("{}.{}", manifest.abi_major, manifest.abi_minor)},
      {"license", manifest.license},
      {"publisher", manifest.publisher},
      {"description", manifest.description},
      {"provides", provides_json(manifest)},
      {"requires", requirements_json(manifest.requirements)},
      {"conflicts", manifest.conflicts},
      {"needed_libraries", plugin.content.needed_libraries},
      {"trust", {{"level", name_of_level(plugin.trust.level)}, {"reason", plugin.trust.reason}}}});
  return out;
}

OrderedJson to_json(const UnmetRequirement& unmet) {
  OrderedJson candidates = OrderedJson::array();
  for (const LostCandidate& candidate : unmet.candidates) {
    candidates.push_back({{"plugin", candidate.plugin_id},
                          {"version", candidate.version},
                          {"device", candidate.device},
                          {"reason", candidate.reason}});
  }
  return {{"required_by", unmet.required_by},
          {"requirement", unmet.requirement},
          {"device", unmet.device},
          {"candidates", candidates}};
}

OrderedJson to_json(const PlannedPackage& package) {
  return {{"name", package.name},
          {"version", package.version},
          {"device", package.device},
          {"interfaces", package.interfaces},
          {"plugin", package.plugin_id},
          {"built_in", package.built_in},
          {"required_by", package.required_by}};
}

std::string provided_text(const Manifest& manifest) {
  std::string out;
  for (const QuantizerSpec& spec : manifest.quantizers)
    out += (out.empty() ? "" : ", ") + spec.method;
  for (const PackageSpec& package : manifest.packages) {
    out += fmt::format("{}{} {} ({})", out.empty() ? "" : ", ", package.name,
                       package.version.text(), package.device);
  }
  return out;
}

ExitCode exit_code_for(const PluginRecord& plugin) {
  switch (plugin.state) {
    case PluginState::kOk:
      return ExitCode::kOk;
    case PluginState::kUnavailable:
      return ExitCode::kDeviceUnavailable;
    case PluginState::kIncompatible:
      return ExitCode::kAbi;
    case PluginState::kUntrusted:
      return ExitCode::kUntrusted;
    case PluginState::kQuarantined:
      return ExitCode::kPluginCrashed;
    case PluginState::kShadowed:
    case PluginState::kRejected:
      break;
  }
  return ExitCode::kPluginNotFound;
}

void refuse(const PluginRecord& plugin) {
  throw CommandError(exit_code_for(plugin), ErrorKind::kRuntime,
                     fmt::format("plugin {} ({}) is {}: {}", plugin.label(), plugin.file.string(),
                                 name_of(plugin.state), plugin.reason),
                     plugin.hint);
}

}  // namespace quanthost::cli

#include "host/cli/settings.hpp"

#include <algorithm>

#include "host/base/file.hpp"
#include "host/base/nearest_name.hpp"
#include "host/plugins/yaml.hpp"

namespace quanthost::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSystemFile = "/etc/quanthost/quanthost.yaml";

std::size_t line_of(std::string_view text, const std::string& key) {
  std::size_t line = 1;
  for (std::size_t begin = 0; begin < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view row = text.substr(begin, end - begin);
    if (row.starts_with(key) || row.substr(std::min<std::size_t>(row.size(), 1)).starts_with(key))
      return line;
    begin = end + 1;
  }
  return 1;
}

std::string scalar_text(const OrderedJson& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

bool fits(SettingKind kind, const OrderedJson& value) {
  switch (kind) {
    case SettingKind::kSwitch:
      return value.is_boolean();
    case SettingKind::kPathList:
      return value.is_array() && std::all_of(value.begin(), value.end(), [](const OrderedJson& v) {
               return v.is_string() && fs::path(v.get<std::string>()).is_absolute();
             });
    case SettingKind::kText:
      return value.is_string() || value.is_number();
  }
  return false;
}

const char* wanted(SettingKind kind) {
  switch (kind) {
    case SettingKind::kSwitch:
      return "true or false";
    case SettingKind::kPathList:
      return "a list of absolute paths, e.g. [/opt/quanthost/plugins]";
    case SettingKind::kText:
      return "a text or a number";
  }
  return "";
}

std::vector<std::string> keys() {
  std::vector<std::string> out;
  for (const SettingSpec& spec : setting_specs()) out.emplace_back(spec.key);
  return out;
}

}  // namespace

const std::vector<SettingSpec>& setting_specs() {
  using enum SettingKind;
  static const std::vector<SettingSpec> kSpecs{
      {"color", "color", "QUANTHOST_COLOR", kText, "auto", "auto, always or never"},
      {"quiet", "quiet", "QUANTHOST_QUIET", kSwitch, "false", "say only what is wrong"},
      {"verbose", "verbose", "QUANTHOST_VERBOSE", kSwitch, "false", "say more about what is done"},
      // Its variable and its flag are search paths of their own, each searched before the file's.
      {"plugin_path", "plugin-path", "QUANTHOST_PLUGIN_PATH", kPathList, "",
       "directories of plugins, searched after those of --plugin-path and QUANTHOST_PLUGIN_PATH"},
      {"no_cache", "no-cache", "QUANTHOST_NO_CACHE", kSwitch, "false", "read every plugin anew"},
      {"probe_limit", "probe-limit", "QUANTHOST_PROBE_LIMIT", kText, "10",
       "seconds a plugin may take to open in isolation"},
      {"threads", "threads", "QUANTHOST_THREADS", kText, "all cores", "threads to compute with"},
      {"device_map", "device-map", "QUANTHOST_DEVICE_MAP", kText, "cpu",
       "auto, balanced, balanced_low_0, sequential, a device, JSON, or a file"},
      {"max_memory", "max-memory", "QUANTHOST_MAX_MEMORY", kText, "what is free",
       "limits of devices, e.g. 0=10GiB,cpu=30GiB"},
      {"dtype", "dtype", "QUANTHOST_DTYPE", kText, "auto",
       "element type of a load: auto, float32, bfloat16 or float16"},
      {"max_queue", "max-queue", "QUANTHOST_MAX_QUEUE", kText, "256MiB",
       "most bytes that are read ahead"},
      {"offload_folder", "offload-folder", "QUANTHOST_OFFLOAD_FOLDER", kText, "",
       "where parts of a model that lie on disk are kept"}};
  return kSpecs;
}

std::vector<Settings::File> Settings::files(const SearchContext& context,
                                            const std::string& config_option) {
  if (!config_option.empty()) return {{fs::absolute(config_option), "--config", true}};
  if (!context.privileged) {
    if (const auto named = context.environment("QUANTHOST_CONFIG"))
      return {{fs::absolute(*named), "QUANTHOST_CONFIG", true}};
  }
  std::vector<File> out;
  if (const fs::path user = user_config_directory(context); !user.empty())
    out.push_back({user / "quanthost.yaml", "user", false});
  out.push_back({kSystemFile, "system", false});
  return out;
}

void Settings::read_file(const fs::path& file) {
  if (file == "/dev/null") return;  // how one says "no file"
  const std::string text = read_text_file(file, 64 * 1024);
  const char* const start = "'quanthost config template' prints a file to start from";
  const OrderedJson content = [&] {
    try {
      return parse_yaml(text, file.string());
    } catch (const Error& e) {
      throw Error(e.kind(), e.message(), e.hint().empty() ? start : e.hint());
    }
  }();
  if (content.is_null()) return;  // nothing but comments
  if (!content.is_object())
    throw Error(ErrorKind::kValue,
                fmt::format("{}: settings are lines of 'key: value'", file.string()), start);
  for (const auto& [key, value] : content.items()) {
    const std::string place = fmt::format("{}:{}", file.string(), line_of(text, key));
    const auto& specs = setting_specs();
    const auto spec = std::find_if(specs.begin(), specs.end(),
                                   [&name = key](const SettingSpec& s) { return name == s.key; });
    if (spec == specs.end())
      throw Error(ErrorKind::kValue, fmt::format("{}: '{}' is not a setting", place, key),
                  suggest_name(key, keys()));
    if (!fits(spec->kind, value))
      throw Error(ErrorKind::kValue, fmt::format("{}: {} is {}", place, key, value.dump()),
                  fmt::format("needed: {}", wanted(spec->kind)));
    SettingValue setting{{}, place};
    if (value.is_array()) {
      for (const OrderedJson& item : value) setting.values.push_back(scalar_text(item));
    } else {
      setting.values = {scalar_text(value)};
    }
    values_.emplace(key, std::move(setting));  // an earlier file has the say
  }
}

void Settings::read_environment(const SearchContext& context) {
  if (context.privileged) return;
  for (const SettingSpec& spec : setting_specs()) {
    if (spec.kind == SettingKind::kPathList) continue;
    if (const auto value = context.environment(spec.variable))
      values_[spec.key] = {{*value}, spec.variable};
  }
}

void Settings::read(const SearchContext& context, const std::string& config_option) {
  for (const File& file : files(context, config_option)) {
    std::error_code error;
    if (fs::exists(file.path, error)) {
      read_file(file.path);
    } else if (file.named) {
      throw Error(ErrorKind::kOs,
                  fmt::format("{}: the configuration file does not exist", file.path.string()),
                  fmt::format("correct {}, or leave it out", file.origin));
    }
  }
  read_environment(context);
}

void Settings::apply(ParsedOptions& options) {
  for (const SettingSpec& spec : setting_specs()) {
    const auto given = options.given(spec.option);
    if (!given.empty()) {
      if (spec.kind != SettingKind::kPathList)
        values_[spec.key] = {given, fmt::format("--{}", spec.option)};
      continue;
    }
    const auto value = values_.find(spec.key);
    if (value == values_.end() || spec.kind == SettingKind::kPathList || !options.has(spec.option))
      continue;
    try {
      options.set(spec.option, value->second.values);
    } catch (const Error& e) {
      throw Error(e.kind(), fmt::format("{}: {}", value->second.origin, e.message()),
                  fmt::format("needed: {}", spec.help));
    }
  }
}

const SettingValue& Settings::find(const std::string& key) const {
  static const SettingValue kDefault{{}, "default"};
  const auto found = values_.find(key);
  return found == values_.end() ? kDefault : found->second;
}

}  // namespace quanthost::cli

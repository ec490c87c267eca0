#include "host/load/quantization_config.hpp"

#include <algorithm>
#include <map>

#include "host/base/file.hpp"
#include "host/base/nearest_name.hpp"
#include "host/plugins/yaml.hpp"

namespace quanthost {
namespace {

constexpr std::string_view kMethodKey = "quant_method";

const OrderedJson* member(const OrderedJson& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

std::vector<std::string> field_names(const QuantizerSpec& spec) {
  std::vector<std::string> names;
  for (const ConfigField& field : spec.config) names.push_back(field.name);
  return names;
}

bool declares(const QuantizerSpec& spec, std::string_view key) {
  return std::any_of(spec.config.begin(), spec.config.end(),
                     [&](const ConfigField& f) { return f.name == key; });
}

void refuse_unknown_options(const QuantizerSpec& spec, const UserQuantization& user) {
  for (const auto& [key, value] : user.values.items()) {
    if (declares(spec, key)) continue;
    throw Error(ErrorKind::kValue,
                fmt::format("{}: method {} has no option \"{}\"", user.where, spec.method, key),
                suggest_name(key, field_names(spec)));
  }
}

// Every declared field from `given`, checked, with defaults where nothing is given.
std::vector<ConfigValue> checked_values(const QuantizerSpec& spec, const OrderedJson& given,
                                        std::string_view where) {
  std::vector<ConfigValue> values;
  for (const ConfigField& field : spec.config) {
    const OrderedJson* value = member(given, field.name);
    if (!value) {
      values.push_back({&field, field.default_value, true});
      continue;
    }
    try {
      field.check(*value);
    } catch (const Error& e) {
      throw e.within(where);
    }
    values.push_back({&field, *value, false});
  }
  return values;
}

// "qint4" in the map is "int4" in QuantoConfig, and float8 without more is e4m3fn.
std::string quanto_config_name(std::string_view mapped) {
  if (mapped.starts_with('q')) mapped.remove_prefix(1);
  return mapped == "float8_e4m3fn" ? "float8" : std::string(mapped);
}

// The name that most entries of the map have at `key`; empty for a map whose entries all say
// "none".
std::string most_common_type(const Json& map, const char* key) {
  std::map<std::string, int> counts;
  for (const auto& [module, entry] : map.items()) {
    if (entry.is_object() && entry.contains(key) && entry[key].is_string() && entry[key] != "none")
      ++counts[entry[key].get<std::string>()];
  }
  const auto most =
      std::max_element(counts.begin(), counts.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == counts.end() ? "" : quanto_config_name(most->first);
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace

const OptionNames& command_option_names() {
  static const OptionNames kNames{"--method",     "--set",       "--quant", "--device-map",
                                  "--max-memory", "--max-queue", "--dtype", "'quanthost methods'"};
  return kNames;
}

namespace {

UserQuantization of_settings(const QuantizationRequest& request, const OptionNames& names) {
  UserQuantization user{request.method, OrderedJson::object(), names.settings};
  if (user.method.empty() && !request.settings.empty()) {
    throw UserOptionError(
        ErrorKind::kValue,
        fmt::format("{} is given without {}, whose options it changes", names.settings,
                    names.method),
        fmt::format("name one with {}; {} lists them", names.method, names.list_of_methods));
  }
  for (const auto& [key, value] : request.settings) {
    if (user.values.contains(key)) {
      throw UserOptionError(ErrorKind::kValue,
                            fmt::format("{} gives \"{}\" twice", names.settings, key));
    }
    try {
      user.values[key] =
          parse_yaml("value: " + value, fmt::format("{} {}", names.settings, key)).at("value");
    } catch (const Error& e) {
      throw UserOptionError(e);
    }
  }
  return user;
}

}  // namespace

UserQuantization user_quantization(const QuantizationRequest& request, const OptionNames& names) {
  if (request.file.empty()) return of_settings(request, names);
  if (!request.method.empty() || !request.settings.empty()) {
    throw UserOptionError(
        ErrorKind::kValue,
        fmt::format("{} names a method and its options, and so does {}", names.quantization_file,
                    request.method.empty() ? names.settings : names.method),
        "give one of the two");
  }
  try {
    return read_user_quantization(request.file);
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kOs) throw;
    throw UserOptionError(e);
  }
}

std::vector<std::pair<std::string, std::string>> split_settings(
    const std::vector<std::string>& settings) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const std::string& setting : settings) {
    const auto equals = setting.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw UserOptionError(ErrorKind::kValue,
                            fmt::format("--set \"{}\" is not of the form key=value", setting),
                            "for example --set bits=4");
    }
    out.emplace_back(setting.substr(0, equals), setting.substr(equals + 1));
  }
  return out;
}

UserQuantization user_quantization(std::string method, const std::vector<std::string>& settings) {
  return user_quantization({std::move(method), split_settings(settings), {}},
                           command_option_names());
}

UserQuantization read_user_quantization(const std::filesystem::path& file) {
  UserQuantization user{"", parse_yaml(read_text_file(file, YamlLimits{}.bytes), file.string()),
                        file.string()};
  if (!user.values.is_object())
    fail(ErrorKind::kType, "{}: needs a map of options, with `method:`", file.string());
  for (const std::string_view key : {std::string_view("method"), kMethodKey}) {
    const OrderedJson* method = member(user.values, key);
    if (!method) continue;
    if (!method->is_string())
      fail(ErrorKind::kType, "{}: `{}` must be a method's name", file.string(), key);
    user.method = method->get<std::string>();
    user.values.erase(std::string(key));
    return user;
  }
  throw Error(ErrorKind::kValue, fmt::format("{}: names no method", file.string()),
              "add a line `method: ID`");
}

namespace {

std::vector<ConfigValue> checked_options(const QuantizerSpec& spec, const UserQuantization& user) {
  try {
    refuse_unknown_options(spec, user);
    return checked_values(spec, user.values, user.where);
  } catch (const Error& e) {
    throw UserOptionError(e);
  }
}

}  // namespace

MethodConfig config_for_quantizing(const QuantizerSpec& spec, const UserQuantization& user) {
  MethodConfig config{&spec, false, checked_options(spec, user), OrderedJson::object(), {}};
  config.merged[std::string(kMethodKey)] = spec.quant_method;
  for (const auto& [key, value] : spec.match.items()) config.merged[key] = value;
  for (const ConfigValue& value : config.values) config.merged[value.field->name] = value.value;
  return config;
}

MethodConfig config_for_pre_quantized(const QuantizerSpec& spec,
                                      const OrderedJson& quantization_config,
                                      const UserQuantization& user) {
  MethodConfig config{&spec, true, {}, quantization_config, {}};
  if (!user.method.empty()) {
    if (user.method != spec.method) {
      throw Error(ErrorKind::kValue,
                  fmt::format("the model is quantized with {}, but {} was asked for", spec.method,
                              user.method),
                  "load it as it is, or dequantize it first with `quanthost dequantize`");
    }
    checked_options(spec, user);
    std::vector<std::string> applied, ignored;
    for (const auto& [key, value] : user.values.items()) {
      const auto field = std::find_if(spec.config.begin(), spec.config.end(),
                                      [&name = key](const auto& f) { return f.name == name; });
      (field->loading ? applied : ignored).push_back(key);
      if (field->loading) config.merged[key] = value;
    }
    std::string warning =
        "you passed a quantization config, but the model already has one: the model's own will be "
        "used";
    if (!applied.empty())
      warning += fmt::format("; the loading attributes you set are used ({})", joined(applied));
    if (!ignored.empty()) warning += fmt::format("; ignored: {}", joined(ignored));
    config.warnings.push_back(std::move(warning));
  }
  config.values = checked_values(spec, config.merged, "the checkpoint's quantization_config");
  return config;
}

OrderedJson config_of_quanto_map(const Json& map) {
  OrderedJson config{{std::string(kMethodKey), "quanto"}};
  for (const char* key : {"weights", "activations"}) {
    if (const std::string name = most_common_type(map, key); !name.empty()) config[key] = name;
  }
  return config;
}

}  // namespace quanthost

#include "host/plugins/manifest.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "host/plugins/fields.hpp"
#include "host/plugins/yaml.hpp"

namespace quanthost {
namespace {

constexpr std::array<std::string_view, 17> kKnownFields{
    "manifest",    "id",        "name",     "version",  "abi",      "license",
    "description", "publisher", "provides", "requires", "critical", "conflicts",
    "environment", "homepage",  "min_host", "authors",  "keywords"};
constexpr std::array<std::string_view, 8> kFieldTypes{"bool",  "int",  "float", "string",
                                                      "dtype", "list", "map",   "any"};

template <typename Range>
bool contains(const Range& range, std::string_view text) {
  return std::find(range.begin(), range.end(), text) != range.end();
}

std::string indexed(std::string_view list, std::size_t index) {
  return fmt::format("{}[{}]", list, index);
}

bool has_type(const OrderedJson& value, std::string_view type) {
  if (type == "bool") return value.is_boolean();
  if (type == "int") return value.is_number_integer();
  if (type == "float") return value.is_number();
  if (type == "string" || type == "dtype") return value.is_string();
  if (type == "list") return value.is_array();
  if (type == "map") return value.is_object();
  return true;
}

std::optional<double> optional_number(const Fields& fields, const char* key) {
  const OrderedJson* value = fields.find(key);
  if (!value) return std::nullopt;
  if (!value->is_number())
    fail(ErrorKind::kValue, "{}: found {}, needed a number", fields.at(key), value->type_name());
  return value->get<double>();
}

ConfigField parse_config_field(const OrderedJson& entry, const std::string& where) {
  const Fields fields(entry, where);
  ConfigField field;
  field.name = fields.required_text("name");
  field.type = fields.required_text("type");
  if (!contains(kFieldTypes, field.type)) {
    fail(ErrorKind::kValue,
         "{}: '{}' is not one of bool, int, float, string, dtype, list, map, any",
         fields.at("type"), field.type);
  }
  field.nullable = fields.flag("nullable");
  field.exact = fields.flag("exact");
  field.loading = fields.flag("loading");
  field.min = optional_number(fields, "min");
  field.max = optional_number(fields, "max");
  field.help = fields.text("help");
  for (const OrderedJson& choice : fields.list("choices")) field.choices.push_back(choice);
  if (const OrderedJson* value = fields.find("default")) {
    field.default_value = *value;
    try {
      field.check(*value);
    } catch (const Error& e) {
      throw e.within(fields.at("default"));
    }
  } else if (entry.contains("default") && !field.nullable) {
    fail(ErrorKind::kValue, "{}: null, but the field is not nullable", fields.at("default"));
  }
  return field;
}

std::vector<Requirement> parse_requirements(const Fields& fields, const char* key) {
  std::vector<Requirement> out;
  const OrderedJson& list = fields.list(key);
  for (std::size_t i = 0; i < list.size(); ++i) {
    out.push_back(Requirement::parse(list[i], indexed(fields.at(key), i)));
  }
  return out;
}

QuantizerSpec parse_quantizer(const OrderedJson& entry, const std::string& where) {
  const Fields fields(entry, where);
  QuantizerSpec spec;
  spec.method = fields.required_text("method");
  spec.quant_method = fields.text("quant_method", spec.method);
  if (const OrderedJson* match = fields.find("match")) {
    if (!match->is_object()) fail(ErrorKind::kValue, "{}: needed a map", fields.at("match"));
    spec.match = *match;
  }
  spec.requires_calibration = fields.flag("requires_calibration");
  spec.requires_parameters_quantization = fields.flag("requires_parameters_quantization");
  spec.use_keep_in_fp32_modules = fields.flag("use_keep_in_fp32_modules");
  spec.required_packages = parse_requirements(fields, "required_packages");
  const OrderedJson& config = fields.list("config");
  for (std::size_t i = 0; i < config.size(); ++i) {
    spec.config.push_back(parse_config_field(config[i], indexed(fields.at("config"), i)));
    for (std::size_t j = 0; j < i; ++j) {
      if (spec.config[j].name == spec.config[i].name) {
        fail(ErrorKind::kValue, "{}: '{}' appears twice", fields.at("config"), spec.config[i].name);
      }
    }
  }
  return spec;
}

PackageSpec parse_package(const OrderedJson& entry, const std::string& where) {
  const Fields fields(entry, where);
  // A package name is a requirement without constraints; the same check applies.
  const Requirement named =
      Requirement::parse(OrderedJson{{"name", fields.required_text("name")}}, where);
  PackageSpec spec;
  spec.name = named.name;
  spec.key = named.key;
  try {
    spec.version = Version::parse(fields.required_text("version"));
  } catch (const Error& e) {
    throw e.within(fields.at("version"));
  }
  spec.device = fields.text("device", "any");
  spec.interface_id = fields.text("interface");
  spec.priority = fields.integer("priority", 0);
  return spec;
}

RuntimeNeed parse_runtime(const Fields& environment, const char* key) {
  RuntimeNeed need;
  const OrderedJson* value = environment.find(key);
  if (!value) return need;
  if (value->is_boolean()) {
    need.needed = value->get<bool>();
    return need;
  }
  if (!value->is_string()) {
    fail(ErrorKind::kValue, "{}: needed true, false or version constraints such as \">=13\"",
         environment.at(key));
  }
  need.needed = true;
  need.versions = Constraints::parse(value->get_ref<const std::string&>());
  return need;
}

void parse_abi(const std::string& text, Manifest& manifest) {
  const char *begin = text.data(), *end = begin + text.size();
  const auto major = std::from_chars(begin, end, manifest.abi_major);
  const bool dot = major.ec == std::errc{} && major.ptr != end && *major.ptr == '.';
  const auto minor = dot ? std::from_chars(major.ptr + 1, end, manifest.abi_minor) : major;
  if (!dot || minor.ec != std::errc{} || minor.ptr != end || manifest.abi_major < 0 ||
      manifest.abi_minor < 0) {
    fail(ErrorKind::kValue, "abi: '{}' is not \"major.minor\", for example \"1.0\"", text);
  }
}

void refuse_unknown_critical(const Fields& top) {
  for (const std::string& field : top.texts("critical")) {
    if (contains(kKnownFields, field)) continue;
    throw Error(
        ErrorKind::kValue,
        fmt::format("the plugin says that '{}' must be understood; this host does not", field),
        "use a newer quanthost");
  }
}

void parse_provides(const Fields& top, Manifest& manifest) {
  const OrderedJson* provides = top.find("provides");
  if (!provides) return;
  const Fields fields(*provides, "provides");
  const OrderedJson& quantizers = fields.list("quantizers");
  for (std::size_t i = 0; i < quantizers.size(); ++i) {
    QuantizerSpec spec = parse_quantizer(quantizers[i], indexed(fields.at("quantizers"), i));
    if (manifest.find_quantizer(spec.method)) {
      fail(ErrorKind::kValue, "provides.quantizers: method '{}' appears twice", spec.method);
    }
    manifest.quantizers.push_back(std::move(spec));
  }
  const OrderedJson& packages = fields.list("packages");
  for (std::size_t i = 0; i < packages.size(); ++i) {
    manifest.packages.push_back(parse_package(packages[i], indexed(fields.at("packages"), i)));
  }
}

}  // namespace

bool is_plugin_id(std::string_view text) {
  const auto good = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
  };
  return !text.empty() && text.size() <= 128 && std::all_of(text.begin(), text.end(), good) &&
         std::isalnum(static_cast<unsigned char>(text.front()));
}

// The kinds are those of transformers' config classes, which look a dtype up without asking for its
// type and compare with their choices.
void ConfigField::check_type(const OrderedJson& value) const {
  const std::string found = value.is_null() ? "null" : value.dump();
  if (!has_type(value, type)) {
    if (!exact && !choices.empty()) {
      fail(ErrorKind::kValue, "{}: {} is not one of {}", name, found, OrderedJson(choices).dump());
    }
    fail(type == "dtype" ? ErrorKind::kValue : ErrorKind::kType, "{}: found {}, needed {}", name,
         found, type);
  }
  if (exact && type == "float" && !value.is_number_float()) {
    throw Error(ErrorKind::kType, fmt::format("{}: found {}, needed a float", name, found),
                fmt::format("write {}.0", found));
  }
}

void ConfigField::check(const OrderedJson& value) const {
  if (value.is_null() && nullable) return;
  check_type(value);
  if (!choices.empty() && std::find(choices.begin(), choices.end(), value) == choices.end()) {
    fail(ErrorKind::kValue, "{}: {} is not one of {}", name, value.dump(),
         OrderedJson(choices).dump());
  }
  if (value.is_number() &&
      ((min && value.get<double>() < *min) || (max && value.get<double>() > *max))) {
    fail(ErrorKind::kValue, "{}: {} is outside of {} to {}", name, value.dump(),
         min ? fmt::format("{}", *min) : "-inf", max ? fmt::format("{}", *max) : "inf");
  }
}

const QuantizerSpec* Manifest::find_quantizer(std::string_view method) const {
  const auto found = std::find_if(quantizers.begin(), quantizers.end(),
                                  [&](const QuantizerSpec& spec) { return spec.method == method; });
  return found == quantizers.end() ? nullptr : &*found;
}

Manifest Manifest::parse(std::string_view yaml, std::string_view where) {
  return from_source(parse_yaml(yaml, where), where);
}

Manifest Manifest::from_source(OrderedJson source, std::string_view where) try {
  Manifest manifest;
  const Fields top(source, "");
  if (const auto format = top.integer("manifest", 0); format != 1) {
    throw Error(ErrorKind::kValue,
                fmt::format("manifest: found format {}, this host reads format 1", format),
                format > 1 ? "use a newer quanthost" : "write 'manifest: 1'");
  }
  refuse_unknown_critical(top);
  manifest.id = top.required_text("id");
  if (!is_plugin_id(manifest.id))
    fail(ErrorKind::kValue, "id: '{}' is not an id such as org.example.method", manifest.id);
  if (manifest.id == "quanthost") fail(ErrorKind::kValue, "id: 'quanthost' is the host itself");
  manifest.name = top.text("name", manifest.id);
  manifest.version = Version::parse(top.required_text("version"));
  parse_abi(top.required_text("abi"), manifest);
  manifest.license = top.text("license");
  manifest.description = top.text("description");
  manifest.publisher = top.text("publisher");
  parse_provides(top, manifest);
  manifest.requirements = parse_requirements(top, "requires");
  manifest.conflicts = top.texts("conflicts");
  if (const OrderedJson* environment = top.find("environment")) {
    const Fields fields(*environment, "environment");
    manifest.cpu_features = fields.texts("cpu_features");
    manifest.cuda = parse_runtime(fields, "cuda");
    manifest.hip = parse_runtime(fields, "hip");
  }
  manifest.source = std::move(source);
  return manifest;
} catch (const Error& e) {
  throw e.within(where);
}

}  // namespace quanthost

// What a plugin says about itself in plugin.yaml, embedded in its file as an ELF note.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/json.hpp"
#include "host/plugins/requirement.hpp"
#include "host/plugins/version.hpp"

namespace quanthost {

// One option of a quantization method.
struct ConfigField {
  std::string name;
  std::string type;           // bool int float string dtype list map any
  OrderedJson default_value;  // null when there is none
  std::vector<OrderedJson> choices;
  std::optional<double> min, max;
  bool nullable = false;
  // A value of another type is a type error, as where a Python class asks for the type: no integer
  // for a float either. Else it is only a wrong choice where there are choices.
  bool exact = false;
  bool loading = false;  // may be overridden when a quantized checkpoint is loaded
  std::string help;

  // Throws kValue or kType, naming the field, when `value` is not allowed.
  void check(const OrderedJson& value) const;

 private:
  void check_type(const OrderedJson& value) const;
};

struct QuantizerSpec {
  std::string method;                         // the id that --method takes
  std::string quant_method;                   // what a checkpoint's quantization_config says
  OrderedJson match = OrderedJson::object();  // further equalities on quantization_config
  bool requires_calibration = false;
  bool requires_parameters_quantization = false;
  bool use_keep_in_fp32_modules = false;
  std::vector<Requirement> required_packages;
  std::vector<ConfigField> config;
};

struct PackageSpec {
  std::string name;
  std::string key;  // normalized_name(name)
  Version version;
  std::string device = "any";  // a device kind, or "any": serves every device
  std::string interface_id;    // ABI of its function table; may be empty
  std::int64_t priority = 0;   // between providers of one version, the higher wins
};

// A runtime the plugin needs on this machine.
struct RuntimeNeed {
  bool needed = false;
  Constraints versions;
};

struct Manifest {
  std::string id;
  std::string name;
  Version version;
  std::int64_t abi_major = 0, abi_minor = 0;
  std::string license, description, publisher;
  std::vector<QuantizerSpec> quantizers;
  std::vector<PackageSpec> packages;
  std::vector<Requirement> requirements;
  std::vector<std::string> conflicts;  // ids
  std::vector<std::string> cpu_features;
  RuntimeNeed cuda, hip;
  OrderedJson source;  // everything as written, unknown fields included

  // Throws kValue saying which field; unknown fields are kept, unless `critical` names one.
  static Manifest parse(std::string_view yaml, std::string_view where);
  static Manifest from_source(OrderedJson source, std::string_view where);

  const QuantizerSpec* find_quantizer(
      std::string_view method) const;  // null when it provides no such method
};

// Ids of plugins: letters, digits, dots, dashes and underscores; "org.example.method" or "method".
bool is_plugin_id(std::string_view text);

}  // namespace quanthost

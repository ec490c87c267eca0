#include "host/load/config_fields.hpp"

#include <algorithm>

#include "host/load/abi_strings.hpp"

namespace quanthost {

ConfigFields::ConfigFields(const MethodConfig& config) {
  for (const ConfigValue& value : config.values)
    add(value.field->name, value.field->type, value.value, value.is_default);
  for (const auto& [key, value] : config.merged.items()) {
    const auto declared = [&name = key](const ConfigValue& known) {
      return known.field->name == name;
    };
    if (std::none_of(config.values.begin(), config.values.end(), declared)) {
      add(texts_.emplace_back(key), "unknown", value, false);
    }
  }
}

void ConfigFields::add(std::string_view name, std::string_view declared_type,
                       const OrderedJson& value, bool is_default) {
  qh_config_field field{};
  field.name = to_abi(name);
  field.is_default = is_default;
  if (value.is_null()) {
    field.type = QH_CONFIG_NULL;
  } else if (declared_type == "unknown" || value.is_structured()) {
    field.type = QH_CONFIG_JSON;
    field.text = to_abi(texts_.emplace_back(value.dump()));
  } else if (value.is_boolean()) {
    field.type = QH_CONFIG_BOOL;
    field.integer = value.get<bool>();
  } else if (value.is_string()) {
    field.type = QH_CONFIG_STRING;
    field.text = to_abi(texts_.emplace_back(value.get<std::string>()));
  } else {
    field.type =
        value.is_number_integer() && declared_type != "float" ? QH_CONFIG_INT : QH_CONFIG_FLOAT;
    field.number = value.get<double>();
    if (field.type == QH_CONFIG_INT) field.integer = value.get<std::int64_t>();
  }
  fields_.push_back(field);
}

}  // namespace quanthost

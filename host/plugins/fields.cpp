#include "host/plugins/fields.hpp"

namespace quanthost {

Fields::Fields(const OrderedJson& map, std::string_view where) : map_(map), where_(where) {
  if (!map.is_object()) {
    fail(ErrorKind::kValue, "{}: found {}, needed a map", where.empty() ? "the manifest" : where,
         map.type_name());
  }
}

std::string Fields::at(std::string_view key) const {
  return where_.empty() ? std::string(key) : fmt::format("{}.{}", where_, key);
}

void Fields::wrong_type(const char* key, std::string_view needed) const {
  fail(ErrorKind::kValue, "{}: found {}, needed {}", at(key), map_.at(key).type_name(), needed);
}

const OrderedJson* Fields::find(const char* key) const {
  const auto found = map_.find(key);
  return found == map_.end() || found->is_null() ? nullptr : &*found;
}

std::string Fields::text(const char* key, std::string_view fallback) const {
  const OrderedJson* value = find(key);
  if (!value) return std::string(fallback);
  if (value->is_string()) return value->get<std::string>();
  wrong_type(key, value->is_number() ? "text: put it in quotes" : "text");
}

std::string Fields::required_text(const char* key) const {
  std::string value = text(key);
  if (value.empty()) fail(ErrorKind::kValue, "{}: is missing", at(key));
  return value;
}

bool Fields::flag(const char* key) const {
  const OrderedJson* value = find(key);
  if (value && !value->is_boolean()) wrong_type(key, "true or false");
  return value && value->get<bool>();
}

std::int64_t Fields::integer(const char* key, std::int64_t fallback) const {
  const OrderedJson* value = find(key);
  if (value && !value->is_number_integer()) wrong_type(key, "an integer");
  return value ? value->get<std::int64_t>() : fallback;
}

const OrderedJson& Fields::list(const char* key) const {
  static const OrderedJson kEmpty = OrderedJson::array();
  const OrderedJson* value = find(key);
  if (value && !value->is_array()) wrong_type(key, "a list");
  return value ? *value : kEmpty;
}

std::vector<std::string> Fields::texts(const char* key) const {
  std::vector<std::string> out;
  for (const OrderedJson& entry : list(key)) {
    if (!entry.is_string()) wrong_type(key, "a list of texts");
    out.push_back(entry.get<std::string>());
  }
  return out;
}

}  // namespace quanthost

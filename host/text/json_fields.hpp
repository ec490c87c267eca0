// Typed fields of a JSON object from an untrusted file; errors say where in the file.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "host/base/json.hpp"
#include "host/text/utf8.hpp"

namespace quanthost::text {

class Fields {
 public:
  // `where` is the path so far, e.g. "tokenizer.json: normalizer". The object must outlive this
  // view.
  Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object())
      fail(ErrorKind::kValue, "{}: needs an object, found {}", where_, object.type_name());
  }

  const std::string& where() const { return where_; }
  std::string where(std::string_view name) const { return fmt::format("{}.{}", where_, name); }

  bool has(const char* name) const { return find(name) != nullptr; }

  // null counts as absent.
  const Json* find(const char* name) const {
    const auto it = object_.find(name);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }

  const Json& required(const char* name) const {
    const Json* value = find(name);
    if (!value) fail(ErrorKind::kValue, "{}: the field \"{}\" is missing", where_, name);
    return *value;
  }

  Fields object(const char* name) const { return Fields(required(name), where(name)); }

  const Json& array(const char* name) const {
    const Json& value = required(name);
    if (!value.is_array()) wrong_type(name, "an array", value);
    return value;
  }

  std::string string(const char* name) const {
    const Json& value = required(name);
    if (!value.is_string()) wrong_type(name, "a string", value);
    return value.get<std::string>();
  }
  std::string string(const char* name, std::string fallback) const {
    return has(name) ? string(name) : std::move(fallback);
  }

  bool boolean(const char* name, bool fallback) const {
    const Json* value = find(name);
    if (!value) return fallback;
    if (!value->is_boolean()) wrong_type(name, "true or false", *value);
    return value->get<bool>();
  }

  // A whole number from 0 to 2^31 - 1.
  std::int32_t count(const char* name) const {
    const Json& value = required(name);
    if (!value.is_number_integer() || value < 0 || value > INT32_MAX) {
      wrong_type(name, "a whole number from 0 to 2147483647", value);
    }
    return value.get<std::int32_t>();
  }
  std::int32_t count(const char* name, std::int32_t fallback) const {
    return has(name) ? count(name) : fallback;
  }

  // A string of exactly one character.
  std::string character(const char* name) const {
    std::string text = string(name);
    if (count_code_points(text) != 1) {
      fail(ErrorKind::kValue, "{}: needs one character, found {:?}", where(name), text);
    }
    return text;
  }

 private:
  [[noreturn]] void wrong_type(const char* name, const char* needed, const Json& found) const {
    fail(ErrorKind::kValue, "{}: needs {}, found {}", where(name), needed,
         found.is_structured() ? found.type_name()
                               : found.dump(-1, ' ', false, Json::error_handler_t::replace));
  }

  const Json& object_;
  std::string where_;
};

}  // namespace quanthost::text

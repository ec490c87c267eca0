#include "host/text/jinja/methods.hpp"

#include "host/text/jinja/collections.hpp"
#include "host/text/jinja/named_table.hpp"
#include "host/text/jinja/strings.hpp"

namespace quanthost::text::jinja {
namespace {

using Method = Value (*)(const Value& self, const Arguments&);

const NamedTable<Method>& string_methods() {
  static const NamedTable<Method> table = {
      {"strip",
       [](const Value& s, const Arguments& a) -> Value {
         return strip(*s.string(), a.get(0, "chars"), true, true);
       }},
      {"lstrip",
       [](const Value& s, const Arguments& a) -> Value {
         return strip(*s.string(), a.get(0, "chars"), true, false);
       }},
      {"rstrip",
       [](const Value& s, const Arguments& a) -> Value {
         return strip(*s.string(), a.get(0, "chars"), false, true);
       }},
      {"split", [](const Value& s, const Arguments& a) { return split(*s.string(), a); }},
      {"startswith",
       [](const Value& s, const Arguments& a) -> Value {
         return matches_any(a.get(0, ""), [&](const std::string& option) {
           return s.string()->starts_with(option);
         });
       }},
      {"endswith",
       [](const Value& s, const Arguments& a) -> Value {
         return matches_any(a.get(0, ""), [&](const std::string& option) {
           return s.string()->ends_with(option);
         });
       }},
      {"upper", [](const Value& s, const Arguments&) -> Value { return upper(*s.string()); }},
      {"lower", [](const Value& s, const Arguments&) -> Value { return lower(*s.string()); }},
      {"title", [](const Value& s, const Arguments&) -> Value { return title(*s.string()); }},
      {"capitalize",
       [](const Value& s, const Arguments&) -> Value { return capitalize(*s.string()); }},
      {"replace",
       [](const Value& s, const Arguments& a) -> Value {
         return replace(*s.string(), text_of(a.get(0, "")), text_of(a.get(1, "")));
       }},
      {"join",
       [](const Value& s, const Arguments& a) -> Value {
         return join(a.get(0, ""), {{s}, {}});
       }},
  };
  return table;
}

const NamedTable<Method>& dict_methods() {
  static const NamedTable<Method> table = {
      {"items", [](const Value& d, const Arguments&) { return items(*d.dict()); }},
      {"keys", [](const Value& d, const Arguments&) { return Value::list(items_of(d)); }},
      {"values",
       [](const Value& d, const Arguments&) {
         List values;
         for (const auto& [key, value] : d.dict()->items) values.push_back(value);
         return Value::list(std::move(values));
       }},
      {"get",
       [](const Value& d, const Arguments& a) {
         const Value* found = d.dict()->find(a.get(0, "key").text());
         const Value fallback = a.get(1, "default");
         return found ? *found : fallback.is_undefined() ? Value(None{}) : fallback;
       }},
  };
  return table;
}

}  // namespace

Value method_of(const Value& value, const std::string& name) {
  if (!value.string() && !value.dict()) return {};
  const auto& methods = value.string() ? string_methods() : dict_methods();
  const auto method = methods.find(name);
  if (method == methods.end()) return {};
  return Value::function([self = value, call = method->second](const Arguments& arguments) {
    return call(self, arguments);
  });
}

}  // namespace quanthost::text::jinja

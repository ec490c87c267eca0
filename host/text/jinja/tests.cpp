#include "host/text/jinja/tests.hpp"

#include "host/text/jinja/named_table.hpp"
#include "host/text/jinja/operators.hpp"

namespace quanthost::text::jinja {
namespace {

using Test = bool (*)(const Value&, const Arguments&);

const NamedTable<Test>& tests() {
  static const Test kEqual = [](const Value& v, const Arguments& a) {
    return v.equals(a.get(0, "other"));
  };
  static const NamedTable<Test> table = {
      {"defined", [](const Value& v, const Arguments&) { return !v.is_undefined(); }},
      {"undefined", [](const Value& v, const Arguments&) { return v.is_undefined(); }},
      {"none", [](const Value& v, const Arguments&) { return v.is_none(); }},
      {"string", [](const Value& v, const Arguments&) { return v.is_string(); }},
      {"mapping", [](const Value& v, const Arguments&) { return v.dict() != nullptr; }},
      {"iterable",
       [](const Value& v, const Arguments&) {
         return v.list() || v.dict() || v.string() || v.is_undefined();
       }},
      {"sequence",
       [](const Value& v, const Arguments&) {
         return v.list() || v.dict() || v.string() || v.is_undefined();
       }},
      {"number", [](const Value& v, const Arguments&) { return v.is_number(); }},
      {"integer", [](const Value& v, const Arguments&) { return v.is<std::int64_t>(); }},
      {"float", [](const Value& v, const Arguments&) { return v.is<double>(); }},
      {"boolean", [](const Value& v, const Arguments&) { return v.is<bool>(); }},
      {"true", [](const Value& v, const Arguments&) { return v.is<bool>() && v.truth(); }},
      {"false", [](const Value& v, const Arguments&) { return v.is<bool>() && !v.truth(); }},
      {"callable", [](const Value& v, const Arguments&) { return v.function() != nullptr; }},
      {"even", [](const Value& v, const Arguments&) { return v.integer() % 2 == 0; }},
      {"odd", [](const Value& v, const Arguments&) { return v.integer() % 2 != 0; }},
      {"in", [](const Value& v, const Arguments& a) { return contains(a.get(0, "seq"), v); }},
      {"equalto", kEqual},
      {"eq", kEqual},
      {"sameas", kEqual},
      {"ne", [](const Value& v, const Arguments& a) { return !v.equals(a.get(0, "other")); }},
  };
  return table;
}

}  // namespace

bool apply_test(const std::string& name, const Value& value, const Arguments& arguments) {
  return find_supported(tests(), name, "test")(value, arguments);
}

}  // namespace quanthost::text::jinja

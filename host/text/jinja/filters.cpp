#include "host/text/jinja/filters.hpp"

#include <algorithm>
#include <charconv>

#include "host/text/jinja/collections.hpp"
#include "host/text/jinja/named_table.hpp"
#include "host/text/jinja/strings.hpp"
#include "host/text/jinja/tests.hpp"

namespace quanthost::text::jinja {
namespace {

Arguments behind(const Arguments& arguments, std::size_t count) {
  Arguments rest;
  for (std::size_t i = count; i < arguments.positional.size(); ++i)
    rest.positional.push_back(arguments.positional[i]);
  return rest;
}

// select, reject (test), selectattr, rejectattr (attribute, test).
Value select(const Value& value, const Arguments& arguments, bool by_attribute, bool keep) {
  const std::size_t test_at = by_attribute ? 1 : 0;
  const Value test = arguments.get(test_at, "");
  List result;
  for (const Value& item : items_of(value)) {
    const Value subject =
        by_attribute ? attribute_of(item, text_of(arguments.get(0, "attribute"))) : item;
    const bool passes = test.is_undefined()
                            ? subject.truth()
                            : apply_test(text_of(test), subject, behind(arguments, test_at + 1));
    if (passes == keep) result.push_back(item);
  }
  return Value::list(std::move(result));
}

Value map(const Value& value, const Arguments& arguments) {
  const Value attribute = arguments.get(SIZE_MAX, "attribute");
  List result;
  for (const Value& item : items_of(value)) {
    result.push_back(attribute.string()
                         ? attribute_of(item, *attribute.string())
                         : apply_filter(text_of(arguments.get(0, "")), item, behind(arguments, 1)));
  }
  return Value::list(std::move(result));
}

Value to_integer(const Value& value) {
  if (value.is<double>()) return static_cast<std::int64_t>(std::clamp(value.number(), -9e18, 9e18));
  if (!value.string()) return value.is_number() ? value.integer() : 0;
  std::int64_t number = 0;
  const std::string text = strip(*value.string(), {}, true, true);
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Value length(const Value& value) {
  if (value.dict()) return static_cast<std::int64_t>(value.dict()->items.size());
  if (value.list()) return static_cast<std::int64_t>(value.list()->size());
  return static_cast<std::int64_t>(items_of(value).size());
}

// Lines but the first get spaces in front; empty lines only when asked.
std::string indent(const std::string& text, const Arguments& arguments) {
  const Value width = arguments.get(0, "width");
  const std::string margin =
      width.string() ? *width.string()
                     : std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(
                                       width.is_undefined() ? 4 : width.integer(), 0, 1000)),
                                   ' ');
  std::string result = arguments.get(1, "first").truth() ? margin : std::string();
  for (std::size_t i = 0; i < text.size(); ++i) {
    result += text[i];
    if (text[i] != '\n' || i + 1 == text.size()) continue;
    if (text[i + 1] != '\n' || arguments.get(2, "blank").truth()) result += margin;
  }
  return result;
}

using Filter = Value (*)(const Value&, const Arguments&);

const NamedTable<Filter>& filters() {
  static const NamedTable<Filter> table = {
      {"trim",
       [](const Value& v, const Arguments& a) -> Value {
         return strip(v.text(), a.get(0, "chars"), true, true);
       }},
      {"length", [](const Value& v, const Arguments&) { return length(v); }},
      {"count", [](const Value& v, const Arguments&) { return length(v); }},
      {"tojson",
       [](const Value& v, const Arguments& a) -> Value {
         const Value width = a.get(SIZE_MAX, "indent");
         return v.to_json(width.is_number()
                              ? static_cast<int>(std::clamp<std::int64_t>(width.integer(), 0, 100))
                              : -1);
       }},
      {"upper", [](const Value& v, const Arguments&) -> Value { return upper(v.text()); }},
      {"lower", [](const Value& v, const Arguments&) -> Value { return lower(v.text()); }},
      {"capitalize",
       [](const Value& v, const Arguments&) -> Value { return capitalize(v.text()); }},
      {"title", [](const Value& v, const Arguments&) -> Value { return title(v.text()); }},
      {"default",
       [](const Value& v, const Arguments& a) -> Value {
         return v.is_undefined() || (a.get(1, "boolean").truth() && !v.truth())
                    ? a.get(0, "default_value")
                    : v;
       }},
      {"join", [](const Value& v, const Arguments& a) -> Value { return join(v, a); }},
      {"first",
       [](const Value& v, const Arguments&) {
         const List l = items_of(v);
         return l.empty() ? Value() : l.front();
       }},
      {"last",
       [](const Value& v, const Arguments&) {
         const List l = items_of(v);
         return l.empty() ? Value() : l.back();
       }},
      {"list", [](const Value& v, const Arguments&) { return Value::list(items_of(v)); }},
      {"reverse",
       [](const Value& v, const Arguments&) {
         List l = items_of(v);
         std::reverse(l.begin(), l.end());
         return Value::list(l);
       }},
      {"int", [](const Value& v, const Arguments&) { return to_integer(v); }},
      {"string", [](const Value& v, const Arguments&) -> Value { return v.text(); }},
      {"safe", [](const Value& v, const Arguments&) { return v; }},
      {"replace",
       [](const Value& v, const Arguments& a) -> Value {
         return replace(v.text(), text_of(a.get(0, "old")), text_of(a.get(1, "new")));
       }},
      {"indent", [](const Value& v, const Arguments& a) -> Value { return indent(v.text(), a); }},
      {"items",
       [](const Value& v, const Arguments&) {
         return v.is_undefined() ? Value::list({}) : items(dict_of(v));
       }},
      {"dictsort", [](const Value& v, const Arguments&) { return sorted_items(dict_of(v)); }},
      {"map", map},
      {"select", [](const Value& v, const Arguments& a) { return select(v, a, false, true); }},
      {"reject", [](const Value& v, const Arguments& a) { return select(v, a, false, false); }},
      {"selectattr", [](const Value& v, const Arguments& a) { return select(v, a, true, true); }},
      {"rejectattr", [](const Value& v, const Arguments& a) { return select(v, a, true, false); }},
  };
  return table;
}

}  // namespace

Value apply_filter(const std::string& name, const Value& value, const Arguments& arguments) {
  return find_supported(filters(), name == "d" ? "default" : name, "filter")(value, arguments);
}

}  // namespace quanthost::text::jinja

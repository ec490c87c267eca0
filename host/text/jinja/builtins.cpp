#include "host/text/jinja/builtins.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <ctime>
#include <map>

#include "host/text/unicode.hpp"
#include "host/text/utf8.hpp"

namespace quanthost::text::jinja {
namespace {

constexpr std::int64_t kMaxRange = 10'000;

const std::string& text_of(const Value& value) {
  if (!value.string()) fail(ErrorKind::kType, "needs a string, found {}", value.type_name());
  return *value.string();
}

// Strings, as Python's methods treat them.

// Whitespace, or the characters given.
std::string strip(const std::string& text, const Value& characters, bool left, bool right) {
  const bool blanks = characters.is_undefined() || characters.is_none();
  const List set = blanks ? List() : items_of(text_of(characters));
  const auto strippable = [&](std::string_view character) {
    std::size_t at = 0;
    if (blanks) {
      const char32_t c = next_code_point(character, at);
      return is_whitespace(c) || (c >= 0x1C && c <= 0x1F);
    }
    return std::any_of(set.begin(), set.end(),
                       [&](const Value& member) { return *member.string() == character; });
  };
  std::string_view rest = text;
  while (left && !rest.empty()) {
    const std::size_t length = sequence_length(rest[0]);
    if (!strippable(rest.substr(0, length))) break;
    rest.remove_prefix(length);
  }
  while (right && !rest.empty()) {
    std::size_t at = rest.size();
    previous_code_point(rest, at);
    if (!strippable(rest.substr(at))) break;
    rest = rest.substr(0, at);
  }
  return std::string(rest);
}

std::string map_ascii(std::string text, int (*change)(int)) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x80) c = static_cast<char>(change(c));
  }
  return text;
}
int upper(int c) { return c >= 'a' && c <= 'z' ? c - 32 : c; }
int lower(int c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

std::string capitalize(const std::string& text) {
  std::string result = map_ascii(text, lower);
  if (!result.empty()) result[0] = static_cast<char>(upper(result[0]));
  return result;
}

std::string title(const std::string& text) {
  std::string result = map_ascii(text, lower);
  bool begins = true;
  for (char& c : result) {
    if (begins) c = static_cast<char>(upper(c));
    begins = c == ' ' || c == '-' || c == '\n' || c == '\t';
  }
  return result;
}

std::string replace(const std::string& text, const std::string& from, const std::string& to) {
  if (from.empty()) fail(ErrorKind::kNotImplemented, "replacing the empty string is not supported");
  std::string result;
  std::size_t begin = 0;
  for (std::size_t at; (at = text.find(from, begin)) != std::string::npos;
       begin = at + from.size()) {
    result.append(text, begin, at - begin).append(to);
  }
  return result.append(text, begin);
}

List split_at_blanks(const std::string& text) {
  List parts;
  std::size_t begin = 0;
  while ((begin = text.find_first_not_of(" \t\n\r\v\f", begin)) != std::string::npos) {
    const std::size_t end = std::min(text.find_first_of(" \t\n\r\v\f", begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return parts;
}

Value split(const std::string& text, const Arguments& arguments) {
  const Value separator = arguments.get(0, "sep");
  if (separator.is_undefined() || separator.is_none()) return Value::list(split_at_blanks(text));
  const Value limit = arguments.get(1, "maxsplit");
  std::int64_t left = limit.is_undefined() ? -1 : limit.integer();
  const std::string& sign = text_of(separator);
  if (sign.empty()) fail(ErrorKind::kValue, "split() needs a separator that is not empty");
  List parts;
  std::size_t begin = 0;
  for (std::size_t at; left != 0 && (at = text.find(sign, begin)) != std::string::npos;
       begin = at + sign.size()) {
    parts.push_back(text.substr(begin, at - begin));
    --left;
  }
  parts.push_back(text.substr(begin));
  return Value::list(std::move(parts));
}

// One string, or any of a list of them.
bool matches_any(const Value& options, const std::function<bool(const std::string&)>& test) {
  if (options.string()) return test(*options.string());
  const List list = items_of(options);
  return std::any_of(list.begin(), list.end(),
                     [&](const Value& option) { return test(text_of(option)); });
}

// Dicts and lists.

Value pair(const std::string& key, const Value& value) { return Value::list({key, value}); }

Value items(const Dict& dict) {
  List pairs;
  for (const auto& [key, value] : dict.items) pairs.push_back(pair(key, value));
  return Value::list(std::move(pairs));
}

Value sorted_items(const Dict& dict) {
  Dict sorted = dict;
  std::sort(sorted.items.begin(), sorted.items.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  return items(sorted);
}

const Dict& dict_of(const Value& value) {
  if (!value.dict()) fail(ErrorKind::kType, "needs a dict, found {}", value.type_name());
  return *value.dict();
}

Value attribute_of(const Value& value, const std::string& name) {
  const Value* found = value.dict() ? value.dict()->find(name) : nullptr;
  return found ? *found : Value();
}

std::string join(const Value& value, const Arguments& arguments) {
  const std::string separator = arguments.get(0, "d").text();
  const Value attribute = arguments.get(1, "attribute");
  std::string text;
  bool first = true;
  for (const Value& item : items_of(value)) {
    if (!first) text += separator;
    first = false;
    text += attribute.string() ? attribute_of(item, *attribute.string()).text() : item.text();
  }
  return text;
}

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

const std::map<std::string, Filter>& filters() {
  static const std::map<std::string, Filter> table = {
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
      {"upper",
       [](const Value& v, const Arguments&) -> Value { return map_ascii(v.text(), upper); }},
      {"lower",
       [](const Value& v, const Arguments&) -> Value { return map_ascii(v.text(), lower); }},
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

using Test = bool (*)(const Value&, const Arguments&);

const std::map<std::string, Test>& tests() {
  static const Test kEqual = [](const Value& v, const Arguments& a) {
    return v.equals(a.get(0, "other"));
  };
  static const std::map<std::string, Test> table = {
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

using Method = Value (*)(const Value& self, const Arguments&);

const std::map<std::string, Method>& string_methods() {
  static const std::map<std::string, Method> table = {
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
      {"upper",
       [](const Value& s, const Arguments&) -> Value { return map_ascii(*s.string(), upper); }},
      {"lower",
       [](const Value& s, const Arguments&) -> Value { return map_ascii(*s.string(), lower); }},
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

const std::map<std::string, Method>& dict_methods() {
  static const std::map<std::string, Method> table = {
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

Value range(const Arguments& arguments) {
  const std::size_t count = arguments.positional.size();
  if (count < 1 || count > 3) fail(ErrorKind::kType, "range() takes one to three whole numbers");
  const std::int64_t begin = count > 1 ? arguments.positional[0].integer() : 0;
  const std::int64_t end = arguments.positional[count > 1 ? 1 : 0].integer();
  const std::int64_t step = count > 2 ? arguments.positional[2].integer() : 1;
  if (step == 0) fail(ErrorKind::kValue, "range() needs a step other than 0");
  List numbers;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (numbers.size() >= static_cast<std::size_t>(kMaxRange)) {
      fail(ErrorKind::kValue, "range() is limited to {} numbers", kMaxRange);
    }
    numbers.push_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::list(std::move(numbers));
}

Value dict_from(const Arguments& arguments, bool is_namespace) {
  Dict result;
  if (!arguments.positional.empty()) result = dict_of(arguments.positional[0]);
  for (const auto& [name, value] : arguments.keyword) result.set(name, value);
  result.is_namespace = is_namespace;
  return Value::dict(std::move(result));
}

Value strftime_now(const Arguments& arguments) {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm local{};
  localtime_r(&now, &local);
  char text[256];
  return std::string(
      text, std::strftime(text, sizeof text, text_of(arguments.get(0, "format")).c_str(), &local));
}

[[noreturn]] Value raise_exception(const Arguments& arguments) {
  fail(ErrorKind::kValue, "the template refuses the conversation: {}",
       arguments.get(0, "message").text());
}

template <typename Table>
std::string names_of(const Table& table) {
  std::string names;
  for (const auto& [name, entry] : table) names += names.empty() ? name : ", " + name;
  return names;
}

}  // namespace

Value apply_filter(const std::string& name, const Value& value, const Arguments& arguments) {
  const auto filter = filters().find(name == "d" ? "default" : name);
  if (filter == filters().end()) {
    throw Error(ErrorKind::kNotImplemented, fmt::format("the filter \"{}\" is not supported", name),
                "supported are " + names_of(filters()));
  }
  return filter->second(value, arguments);
}

bool apply_test(const std::string& name, const Value& value, const Arguments& arguments) {
  const auto test = tests().find(name);
  if (test == tests().end()) {
    throw Error(ErrorKind::kNotImplemented, fmt::format("the test \"{}\" is not supported", name),
                "supported are " + names_of(tests()));
  }
  return test->second(value, arguments);
}

Value method_of(const Value& value, const std::string& name) {
  if (!value.string() && !value.dict()) return {};
  const auto& methods = value.string() ? string_methods() : dict_methods();
  const auto method = methods.find(name);
  if (method == methods.end()) return {};
  return Value::function([self = value, call = method->second](const Arguments& arguments) {
    return call(self, arguments);
  });
}

Value global_function(const std::string& name) {
  if (name == "raise_exception") return Value::function(raise_exception);
  if (name == "strftime_now") return Value::function(strftime_now);
  if (name == "range") return Value::function(range);
  if (name == "dict")
    return Value::function([](const Arguments& a) { return dict_from(a, false); });
  if (name == "namespace")
    return Value::function([](const Arguments& a) { return dict_from(a, true); });
  return {};
}

bool contains(const Value& container, const Value& item) {
  if (const std::string* text = container.string())
    return text->find(text_of(item)) != std::string::npos;
  if (const Dict* dict = container.dict()) return item.string() && dict->find(*item.string());
  const List list = items_of(container);
  return std::any_of(list.begin(), list.end(),
                     [&](const Value& member) { return member.equals(item); });
}

int compare(const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) {
    return left.number() < right.number() ? -1 : left.number() > right.number() ? 1 : 0;
  }
  if (left.string() && right.string()) return left.string()->compare(*right.string());
  fail(ErrorKind::kType, "values of type {} and {} cannot be compared", left.type_name(),
       right.type_name());
}

}  // namespace quanthost::text::jinja

#include "host/text/jinja/value.hpp"

#include <algorithm>
#include <cmath>

#include "host/text/utf8.hpp"

namespace quanthost::text::jinja {
namespace {

std::string number_text(double number) {
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", number);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string quoted(const std::string& text) {
  const char quote =
      text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
  std::string result(1, quote);
  for (const char c : text) {
    if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (c == '\r') {
      result += "\\r";
    } else {
      if (c == quote || c == '\\') result += '\\';
      result += c;
    }
  }
  return result + quote;
}

std::string json_string(const std::string& text) {
  return OrderedJson(text).dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

void write_json(const Value& value, int indent, int depth, std::string& out);

// Writes the members of a list or dict between its brackets.
template <typename Items, typename WriteOne>
void write_members(const Items& items, std::string_view brackets, int indent, int depth,
                   std::string& out, WriteOne write_one) {
  const auto new_line = [&](int level) {
    if (indent >= 0)
      out.append("\n").append(static_cast<std::size_t>(indent) * static_cast<std::size_t>(level),
                              ' ');
  };
  out += brackets[0];
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += indent >= 0 ? "," : ", ";
    new_line(depth + 1);
    write_one(items[i]);
  }
  if (!items.empty()) new_line(depth);
  out += brackets[1];
}

void write_json(const Value& value, int indent, int depth, std::string& out) {
  if (const std::string* text = value.string()) {
    out += json_string(*text);
  } else if (const List* list = value.list()) {
    write_members(*list, "[]", indent, depth, out,
                  [&](const Value& item) { write_json(item, indent, depth + 1, out); });
  } else if (const Dict* dict = value.dict()) {
    write_members(dict->items, "{}", indent, depth, out, [&](const auto& item) {
      out += json_string(item.first) + ": ";
      write_json(item.second, indent, depth + 1, out);
    });
  } else if (value.is_none()) {
    out += "null";
  } else if (value.is<bool>()) {
    out += value.truth() ? "true" : "false";
  } else if (value.is_number()) {
    out += value.text();
  } else {
    fail(ErrorKind::kType, "a value of type {} cannot be written as JSON", value.type_name());
  }
}

}  // namespace

Value Arguments::get(std::size_t position, std::string_view name) const {
  if (position < positional.size()) return positional[position];
  for (const auto& [key, value] : keyword) {
    if (key == name) return value;
  }
  return {};
}

const Value* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : items) {
    if (name == key) return &value;
  }
  return nullptr;
}

void Dict::set(std::string key, Value value) {
  for (auto& [name, old] : items) {
    if (name == key) {
      old = std::move(value);
      return;
    }
  }
  items.emplace_back(std::move(key), std::move(value));
}

Value Value::from_json(const OrderedJson& json) {
  switch (json.type()) {
    case OrderedJson::value_t::boolean:
      return json.get<bool>();
    case OrderedJson::value_t::number_integer:
    case OrderedJson::value_t::number_unsigned:
      return json.get<std::int64_t>();
    case OrderedJson::value_t::number_float:
      return json.get<double>();
    case OrderedJson::value_t::string:
      return json.get<std::string>();
    case OrderedJson::value_t::array: {
      List items;
      for (const auto& item : json) items.push_back(from_json(item));
      return list(std::move(items));
    }
    case OrderedJson::value_t::object: {
      Dict items;
      for (const auto& [key, item] : json.items()) items.set(key, from_json(item));
      return dict(std::move(items));
    }
    default:
      return None{};
  }
}

const List* Value::list() const {
  const auto* shared = std::get_if<std::shared_ptr<List>>(&content_);
  return shared ? shared->get() : nullptr;
}

Dict* Value::dict() const {
  const auto* shared = std::get_if<std::shared_ptr<Dict>>(&content_);
  return shared ? shared->get() : nullptr;
}

const Function* Value::function() const {
  const auto* shared = std::get_if<std::shared_ptr<Function>>(&content_);
  return shared ? shared->get() : nullptr;
}

bool Value::truth() const {
  if (is_undefined() || is_none()) return false;
  if (is_number()) return number() != 0;
  if (const std::string* text = string()) return !text->empty();
  if (const List* items = list()) return !items->empty();
  if (const Dict* items = dict()) return !items->items.empty() || items->is_namespace;
  return true;
}

double Value::number() const {
  if (const auto* flag = std::get_if<bool>(&content_)) return *flag ? 1 : 0;
  if (const auto* whole = std::get_if<std::int64_t>(&content_)) return static_cast<double>(*whole);
  if (const auto* real = std::get_if<double>(&content_)) return *real;
  fail(ErrorKind::kType, "needs a number, found {}", type_name());
}

std::int64_t Value::integer() const {
  if (const auto* whole = std::get_if<std::int64_t>(&content_)) return *whole;
  if (const auto* flag = std::get_if<bool>(&content_)) return *flag ? 1 : 0;
  fail(ErrorKind::kType, "needs a whole number, found {}", type_name());
}

std::string_view Value::type_name() const {
  constexpr std::string_view kNames[] = {"undefined", "None", "bool", "int",     "float",
                                         "str",       "list", "dict", "function"};
  return kNames[content_.index()];
}

std::string Value::text() const {
  if (const std::string* text = string()) return *text;
  return is_undefined() ? std::string() : repr();
}

std::string Value::repr() const {
  if (is_none()) return "None";
  if (is<bool>()) return truth() ? "True" : "False";
  if (is<std::int64_t>()) return std::to_string(integer());
  if (is<double>()) return number_text(number());
  if (const std::string* text = string()) return quoted(*text);
  std::string out;
  if (const List* items = list()) {
    write_members(*items, "[]", -1, 0, out, [&](const Value& item) { out += item.repr(); });
  } else if (const Dict* items = dict()) {
    write_members(items->items, "{}", -1, 0, out,
                  [&](const auto& item) { out += quoted(item.first) + ": " + item.second.repr(); });
  } else {
    out = type_name();
  }
  return out;
}

std::string Value::to_json(int indent) const {
  std::string out;
  write_json(*this, indent, 0, out);
  return out;
}

bool Value::equals(const Value& other) const {
  if (is_number() && other.is_number()) return number() == other.number();
  if (content_.index() != other.content_.index()) return false;
  if (const std::string* text = string()) return *text == *other.string();
  if (const List* items = list()) {
    return std::equal(items->begin(), items->end(), other.list()->begin(), other.list()->end(),
                      [](const Value& a, const Value& b) { return a.equals(b); });
  }
  if (const Dict* items = dict()) {
    if (items->items.size() != other.dict()->items.size()) return false;
    return std::all_of(items->items.begin(), items->items.end(), [&](const auto& item) {
      const Value* twin = other.dict()->find(item.first);
      return twin && item.second.equals(*twin);
    });
  }
  return !function() || function() == other.function();
}

List items_of(const Value& value) {
  if (const List* list = value.list()) return *list;
  List items;
  if (const Dict* dict = value.dict()) {
    for (const auto& [key, item] : dict->items) items.push_back(key);
  } else if (const std::string* text = value.string()) {
    for (std::size_t at = 0; at < text->size();) {
      const std::size_t length = sequence_length((*text)[at]);
      items.push_back(text->substr(at, length));
      at += length;
    }
  } else if (!value.is_undefined()) {
    fail(ErrorKind::kType, "a value of type {} cannot be gone through", value.type_name());
  }
  return items;
}

}  // namespace quanthost::text::jinja

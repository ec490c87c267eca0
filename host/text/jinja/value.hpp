// The values that a template computes with: Python's, as far as chat templates need them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "host/base/json.hpp"

namespace quanthost::text::jinja {

class Value;

struct Undefined {};  // a name or item that is not there; false, and empty when printed
struct None {};
using List = std::vector<Value>;
using KeywordArguments = std::vector<std::pair<std::string, Value>>;
struct Arguments {
  List positional;
  KeywordArguments keyword;

  // The argument at a position or with a name; Undefined without one.
  Value get(std::size_t position, std::string_view name) const;
};
using Function = std::function<Value(const Arguments&)>;

// A dict, in the order of insertion. A namespace is one that templates may assign to.
struct Dict {
  std::vector<std::pair<std::string, Value>> items;
  bool is_namespace = false;

  const Value* find(std::string_view key) const;
  void set(std::string key, Value value);
};

// Lists, dicts and functions are shared, not copied, as in Python.
class Value {
 public:
  Value() = default;  // Undefined
  template <typename T, typename = std::enable_if_t<!std::is_same_v<std::decay_t<T>, Value>>>
  Value(T&& content) : content_(std::forward<T>(content)) {}  // NOLINT(google-explicit-constructor)
  static Value list(List items) { return Value(std::make_shared<List>(std::move(items))); }
  static Value dict(Dict items) { return Value(std::make_shared<Dict>(std::move(items))); }
  static Value function(Function f) { return Value(std::make_shared<Function>(std::move(f))); }
  static Value from_json(const OrderedJson& json);

  template <typename T>
  bool is() const {
    return std::holds_alternative<T>(content_);
  }
  bool is_undefined() const { return is<Undefined>(); }
  bool is_none() const { return is<None>(); }
  bool is_string() const { return is<std::string>(); }
  bool is_number() const { return is<std::int64_t>() || is<double>() || is<bool>(); }

  // Null when the value is something else.
  const std::string* string() const { return std::get_if<std::string>(&content_); }
  const List* list() const;
  Dict* dict() const;
  const Function* function() const;

  bool truth() const;
  // The number; throws when it is none. A bool counts as 0 or 1.
  double number() const;
  std::int64_t integer() const;

  std::string_view type_name() const;
  std::string text() const;                    // Python's str()
  std::string repr() const;                    // Python's repr()
  std::string to_json(int indent = -1) const;  // Python's json.dumps(ensure_ascii=False)
  bool equals(const Value& other) const;

 private:
  std::variant<Undefined, None, bool, std::int64_t, double, std::string, std::shared_ptr<List>,
               std::shared_ptr<Dict>, std::shared_ptr<Function>>
      content_;
};

// What a for loop goes through: a list's items, a dict's keys, a string's characters; nothing for
// Undefined.
List items_of(const Value& value);

}  // namespace quanthost::text::jinja

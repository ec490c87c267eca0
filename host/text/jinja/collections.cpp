#include "host/text/jinja/collections.hpp"

#include <algorithm>

namespace quanthost::text::jinja {

Value items(const Dict& dict) {
  List pairs;
  for (const auto& [key, value] : dict.items) pairs.push_back(Value::list({key, value}));
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

}  // namespace quanthost::text::jinja

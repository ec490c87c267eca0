#include "host/text/jinja/strings.hpp"

#include <algorithm>

#include "host/text/unicode.hpp"
#include "host/text/utf8.hpp"

namespace quanthost::text::jinja {
namespace {

char to_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

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

}  // namespace

const std::string& text_of(const Value& value) {
  if (!value.string()) fail(ErrorKind::kType, "needs a string, found {}", value.type_name());
  return *value.string();
}

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

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), to_upper);
  return text;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), to_lower);
  return text;
}

std::string capitalize(const std::string& text) {
  std::string result = lower(text);
  if (!result.empty()) result[0] = to_upper(result[0]);
  return result;
}

std::string title(const std::string& text) {
  std::string result = lower(text);
  bool begins = true;
  for (char& c : result) {
    if (begins) c = to_upper(c);
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

bool matches_any(const Value& options, const std::function<bool(const std::string&)>& test) {
  if (options.string()) return test(*options.string());
  const List list = items_of(options);
  return std::any_of(list.begin(), list.end(),
                     [&](const Value& option) { return test(text_of(option)); });
}

}  // namespace quanthost::text::jinja

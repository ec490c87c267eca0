#include "host/plugins/yaml.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cmath>
#include <istream>
#include <limits>
#include <streambuf>
#include <vector>

#include "host/base/utf8.hpp"
#include "host/plugins/simple_yaml.hpp"

namespace quanthost {
namespace {

// yaml-cpp reads from a stream; this one reads the text where it lies.
struct ViewBuffer : std::streambuf {
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // get area only: never written
    setg(begin, begin, begin + text.size());
  }
};

bool is_any_of(std::string_view text, std::initializer_list<std::string_view> words) {
  for (auto word : words) {
    if (text == word) return true;
  }
  return false;
}

OrderedJson parse_number(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  const char *begin = digits.data(), *end = begin + digits.size();
  std::int64_t integer = 0;
  if (auto [rest, error] = std::from_chars(begin, end, integer);
      error == std::errc{} && rest == end)
    return integer;
  if (is_any_of(digits, {".inf", ".Inf", ".INF"})) return std::numeric_limits<double>::infinity();
  if (is_any_of(digits, {"-.inf", "-.Inf", "-.INF"}))
    return -std::numeric_limits<double>::infinity();
  if (is_any_of(digits, {".nan", ".NaN", ".NAN"})) return std::nan("");
  // from_chars also takes "inf" and "nan", which are words in YAML.
  const bool looks_like_number = digits.find_first_of("0123456789") != digits.npos &&
                                 digits.find_first_not_of("0123456789+-.eE") == digits.npos;
  double number = 0;
  if (auto [rest, error] = std::from_chars(begin, end, number);
      looks_like_number && error == std::errc{} && rest == end) {
    return number;
  }
  return nullptr;
}

// Builds the JSON value from yaml-cpp's events; refuses as soon as a limit is passed.
class JsonBuilder : public YAML::EventHandler {
 public:
  JsonBuilder(std::string_view where, const YamlLimits& limits) : where_(where), limits_(limits) {}

  OrderedJson take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    refuse(mark, "anchors are not allowed");
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(mark, "aliases are not allowed");
  }

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    check(mark, "", anchor);
    add(mark, nullptr);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check(mark, tag, anchor);
    // Escapes and damaged files make such; an error message with it could not be written as JSON.
    if (first_invalid_utf8(value)) refuse(mark, "not UTF-8");
    if (!frames_.empty() && frames_.back().value.is_object() && !frames_.back().has_key) {
      set_key(mark, value);
    } else {
      add(mark, tag == "!" ? OrderedJson(value) : plain_scalar_value(value));
    }
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, OrderedJson::array());
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, OrderedJson::object());
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    OrderedJson value;
    std::string key;
    bool has_key = false;
    YAML::Mark mark;
  };

  [[noreturn]] void refuse(const YAML::Mark& mark, std::string_view what) const {
    fail(ErrorKind::kValue, "{}: line {}: {}", where_, mark.line + 1, what);
  }

  void check(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) refuse(mark, "anchors are not allowed");
    // yaml-cpp gives "?" to plain nodes and "!" to quoted scalars.
    if (!is_any_of(tag, {"", "?", "!"})) refuse(mark, "tags are not allowed");
    if (++nodes_ > limits_.nodes) refuse(mark, fmt::format("more than {} values", limits_.nodes));
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            OrderedJson empty) {
    check(mark, tag, anchor);
    if (frames_.size() >= limits_.depth)
      refuse(mark, fmt::format("nested deeper than {}", limits_.depth));
    if (!frames_.empty() && frames_.back().value.is_object() && !frames_.back().has_key) {
      refuse(mark, "a key must be plain text");
    }
    frames_.push_back({std::move(empty), {}, false, mark});
  }

  void close() {
    Frame done = std::move(frames_.back());
    frames_.pop_back();
    add(done.mark, std::move(done.value));
  }

  void set_key(const YAML::Mark& mark, const std::string& key) {
    Frame& frame = frames_.back();
    if (frame.value.contains(key)) refuse(mark, fmt::format("'{}' appears twice", key));
    frame.key = key;
    frame.has_key = true;
  }

  void add(const YAML::Mark& mark, OrderedJson value) {
    if (frames_.empty()) {
      root_ = std::move(value);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.value.is_array()) {
      frame.value.push_back(std::move(value));
      return;
    }
    if (!frame.has_key) refuse(mark, "a key must be plain text");
    frame.value[frame.key] = std::move(value);
    frame.has_key = false;
  }

  std::string where_;
  YamlLimits limits_;
  std::vector<Frame> frames_;
  OrderedJson root_;
  std::size_t nodes_ = 0;
};

}  // namespace

OrderedJson plain_scalar_value(const std::string& text) {
  if (is_any_of(text, {"", "~", "null", "Null", "NULL"})) return nullptr;
  if (is_any_of(text, {"true", "True", "TRUE"})) return true;
  if (is_any_of(text, {"false", "False", "FALSE"})) return false;
  if (OrderedJson number = parse_number(text); !number.is_null()) return number;
  return text;
}

OrderedJson parse_yaml(std::string_view text, std::string_view where, const YamlLimits& limits) {
  // No value takes less than two bytes, so this text keeps to the limits.
  const bool small = text.size() <= limits.bytes && text.size() / 2 < limits.nodes;
  if (small) {
    if (auto value = parse_simple_yaml(text, limits.depth)) return std::move(*value);
  }
  return parse_full_yaml(text, where, limits);
}

OrderedJson parse_full_yaml(std::string_view text, std::string_view where,
                            const YamlLimits& limits) {
  if (text.size() > limits.bytes) {
    fail(ErrorKind::kValue, "{}: {} bytes; at most {} are allowed", where, text.size(),
         limits.bytes);
  }
  if (text.find('\0') != text.npos) fail(ErrorKind::kValue, "{}: holds a NUL byte", where);
  ViewBuffer buffer(text);
  std::istream stream(&buffer);
  JsonBuilder builder(where, limits);
  try {
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    JsonBuilder rest(where, limits);
    if (parser.HandleNextDocument(rest))
      fail(ErrorKind::kValue, "{}: more than one document", where);
  } catch (const YAML::Exception& e) {
    fail(ErrorKind::kValue, "{}: line {}: {}", where, e.mark.line + 1, e.msg);
  }
  return builder.take();
}

}  // namespace quanthost

// Writes and reads the JSON of a quant_state tensor.
#include "plugins/bnb4/quantizer/quant_state.hpp"

#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <variant>
#include <vector>

namespace quanthost::bnb4 {
namespace {

using Value = std::variant<std::string, double, std::vector<int64_t>>;

// Reads one flat JSON object of strings, numbers and lists of integers, which is all a quant_state
// holds.
class FlatObject {
 public:
  FlatObject(std::string_view text, std::string_view where) : text_(text), where_(where) {
    expect('{');
    if (accept('}')) {
      finish();
      return;
    }
    do {
      const std::string key = string();
      expect(':');
      values_.insert_or_assign(key, value());
    } while (accept(','));
    expect('}');
    finish();
  }

  const std::map<std::string, Value>& values() const { return values_; }

  [[noreturn]] void refuse(const std::string& what) const {
    throw qh::Error(QH_ERR_VALUE,
                    "the quantization state '" + std::string(where_) + "' cannot be read: " + what,
                    "it holds " + std::string(text_.substr(0, 200)));
  }

 private:
  void finish() {
    skip();
    if (at_ != text_.size()) refuse("there is text behind its end");
  }
  void skip() {
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  bool accept(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) refuse(std::string("'") + c + "' was expected at byte " + std::to_string(at_));
  }
  std::string string() {
    expect('"');
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\') refuse("it holds an escaped string");
      ++at_;
    }
    std::string result(text_.substr(begin, at_ - begin));
    expect('"');
    return result;
  }
  double number() {
    skip();
    double result = 0;
    const auto [end, error] =
        std::from_chars(text_.data() + at_, text_.data() + text_.size(), result);
    if (error != std::errc()) refuse("a number was expected at byte " + std::to_string(at_));
    at_ = static_cast<size_t>(end - text_.data());
    return result;
  }
  Value value() {
    skip();
    if (at_ < text_.size() && text_[at_] == '"') return string();
    if (!accept('[')) return number();
    std::vector<int64_t> list;
    if (accept(']')) return list;
    do {
      list.push_back(integer(number()));
    } while (accept(','));
    expect(']');
    return list;
  }

 public:
  int64_t integer(double number) const {
    if (number != std::floor(number) || std::fabs(number) > 9007199254740992.0)
      refuse("an integer was expected");
    return static_cast<int64_t>(number);
  }

 private:
  std::string_view text_;
  std::string_view where_;
  size_t at_ = 0;
  std::map<std::string, Value> values_;
};

template <class T>
T need(const FlatObject& object, const std::string& key) {
  const auto found = object.values().find(key);
  if (found == object.values().end()) object.refuse("it has no \"" + key + "\"");
  const T* value = std::get_if<T>(&found->second);
  if (!value) object.refuse("\"" + key + "\" is of the wrong type");
  return *value;
}

void refuse_unknown_keys(const FlatObject& object) {
  for (const auto& [key, value] : object.values()) {
    static constexpr std::string_view kKnown[] = {
        "quant_type",       "blocksize",    "dtype",        "shape",
        "nested_blocksize", "nested_dtype", "nested_offset"};
    bool known = false;
    for (const std::string_view name : kKnown) known = known || key == name;
    if (!known) object.refuse("it has an unknown entry \"" + key + "\"");
  }
}

void read_shape(const FlatObject& object, QuantState* state) {
  const auto shape = need<std::vector<int64_t>>(object, "shape");
  if (shape.size() != 2 || shape[0] < 0 || shape[1] < 0 ||
      (shape[1] > 0 && shape[0] > std::numeric_limits<int64_t>::max() / 8 / shape[1])) {
    object.refuse("\"shape\" has to be two sizes");
  }
  state->rows = shape[0];
  state->columns = shape[1];
}

}  // namespace

std::string_view name_of(QuantType type) { return type == QuantType::kNf4 ? "nf4" : "fp4"; }

std::optional<QuantType> quant_type_from(std::string_view name) {
  if (name == "nf4") return QuantType::kNf4;
  if (name == "fp4") return QuantType::kFp4;
  return std::nullopt;
}

std::string python_repr(double value) {
  if (std::isnan(value)) return "NaN";  // as json.dumps writes them
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  char buffer[64];
  const auto scientific =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(scientific.ptr - buffer));
  const size_t e = text.find('e');
  int exponent = 0;
  const size_t digits = text[e + 1] == '+' ? e + 2 : e + 1;
  std::from_chars(text.data() + digits, text.data() + text.size(), exponent);
  if (exponent < -4 || exponent >= 16)
    return std::string(text);  // both sides write at least two exponent digits
  const auto fixed =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  std::string out(buffer, fixed.ptr);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

std::string to_json(const QuantState& state) {
  std::string out = "{\"quant_type\": \"" + std::string(name_of(state.quant_type)) +
                    "\", \"blocksize\": " + std::to_string(state.blocksize) + ", \"dtype\": \"" +
                    std::string(qh::name_of(state.dtype)) + "\", \"shape\": [" +
                    std::to_string(state.rows) + ", " + std::to_string(state.columns) + "]";
  if (state.nested_offset) {
    out +=
        ", \"nested_blocksize\": " + std::to_string(state.nested_blocksize) +
        ", \"nested_dtype\": \"float32\", \"nested_offset\": " + python_repr(*state.nested_offset);
  }
  return out + "}";
}

QuantState quant_state_from_json(std::string_view json, std::string_view where) {
  const FlatObject object(json, where);
  refuse_unknown_keys(object);
  QuantState state;
  const auto type = quant_type_from(need<std::string>(object, "quant_type"));
  if (!type) object.refuse("\"quant_type\" has to be nf4 or fp4");
  state.quant_type = *type;
  state.blocksize = object.integer(need<double>(object, "blocksize"));
  if (!is_blocksize(state.blocksize))
    object.refuse("\"blocksize\" has to be a power of two from 32 to 4096");
  state.dtype = qh::dtype_from_name(need<std::string>(object, "dtype"));
  if (!qh::is_floating(state.dtype)) object.refuse("\"dtype\" has to be a floating type");
  read_shape(object, &state);
  if (object.values().count("nested_offset")) {
    state.nested_offset = need<double>(object, "nested_offset");
    state.nested_blocksize = object.integer(need<double>(object, "nested_blocksize"));
    if (state.nested_blocksize <= 0) object.refuse("\"nested_blocksize\" has to be positive");
    if (need<std::string>(object, "nested_dtype") != "float32")
      object.refuse("\"nested_dtype\" has to be float32");
  }
  return state;
}

}  // namespace quanthost::bnb4

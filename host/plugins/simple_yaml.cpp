#include "host/plugins/simple_yaml.hpp"

#include <string>
#include <vector>

#include "host/plugins/yaml.hpp"

namespace quanthost {
namespace {

struct Unusual {};  // thrown to leave the text to the full parser; caught in parse_simple_yaml()

struct Line {
  std::size_t indent;
  std::string_view text;  // without indent, trailing spaces and line end
};

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Lines that hold something. The full parser gets tabs, other control characters and all that is
// not ASCII.
std::vector<Line> split_lines(std::string_view text) {
  std::vector<Line> lines;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    for (const char c : line) {
      if (c < ' ' || c > '~') throw Unusual{};
    }
    const std::size_t indent = line.find_first_not_of(' ');
    if (indent == line.npos || line[indent] == '#') continue;
    line = line.substr(0, line.find_last_not_of(' ') + 1);
    lines.push_back({indent, line.substr(indent)});
  }
  return lines;
}

// Values within one line.
class LineReader {
 public:
  explicit LineReader(std::string_view rest) : rest_(rest) {}

  bool at_end() const { return rest_.empty(); }

  // `depth`: how many collections may still be opened. In a collection plain text ends at , ] }.
  OrderedJson value(std::size_t depth, bool in_collection) {
    if (rest_.empty()) throw Unusual{};
    switch (rest_.front()) {
      case '{':
        return map(depth);
      case '[':
        return list(depth);
      case '"':
      case '\'':
        return quoted();
      default:
        return plain_scalar_value(plain(in_collection));
    }
  }

  // "key:" at the beginning, and the spaces behind it.
  std::string key() {
    std::size_t end = 0;
    while (end < rest_.size() && (is_word(rest_[end]) || (end > 0 && rest_[end] == '-'))) ++end;
    std::string name(take(end));
    if (plain_scalar_value(name).is_null() || take(1) != ":") throw Unusual{};
    if (!rest_.empty() && take(1) != " ") throw Unusual{};
    skip_spaces();
    return name;
  }

  // "- " at the beginning, and the spaces behind it.
  bool dash() {
    if (!rest_.starts_with("- ")) return false;
    take(2);
    skip_spaces();
    return true;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view take(std::size_t count) {
    if (count > rest_.size()) throw Unusual{};
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  void skip_spaces() { rest_.remove_prefix(std::min(rest_.find_first_not_of(' '), rest_.size())); }

  OrderedJson quoted() {
    const char quote = take(1).front();
    const std::size_t end = rest_.find(quote);
    if (end == rest_.npos) throw Unusual{};
    const std::string text(take(end));
    take(1);
    // Escapes: \x in one kind, '' in the other.
    if (text.find('\\') != text.npos || rest_.starts_with(quote)) throw Unusual{};
    return text;
  }

  std::string plain(bool in_collection) {
    if (!is_word(rest_.front())) throw Unusual{};
    const std::size_t end =
        in_collection ? std::min(rest_.find_first_of(",]}"), rest_.size()) : rest_.size();
    std::string_view text = take(end);
    text = text.substr(0, text.find_last_not_of(' ') + 1);
    if (text.find_first_of(in_collection ? ":#[]{}\"'?" : ":#") != text.npos) throw Unusual{};
    return std::string(text);
  }

  OrderedJson list(std::size_t depth) {
    OrderedJson out = OrderedJson::array();
    items(depth, ']', [&](std::size_t inner) { out.push_back(value(inner, true)); });
    return out;
  }
  OrderedJson map(std::size_t depth) {
    OrderedJson out = OrderedJson::object();
    items(depth, '}', [&](std::size_t inner) {
      std::string name = key();
      if (out.contains(name)) throw Unusual{};
      out[name] = value(inner, true);
    });
    return out;
  }
  template <class Item>
  void items(std::size_t depth, char end, const Item& item) {
    if (depth == 0) throw Unusual{};
    take(1);
    skip_spaces();
    if (rest_.starts_with(end)) {
      take(1);
      return;
    }
    for (;;) {
      item(depth - 1);
      skip_spaces();
      const char next = take(1).front();
      if (next == end) return;
      if (next != ',') throw Unusual{};
      skip_spaces();
    }
  }

  std::string_view rest_;
};

// Values over several lines.
class BlockReader {
 public:
  explicit BlockReader(std::vector<Line> lines) : lines_(std::move(lines)) {}

  OrderedJson document(std::size_t depth) {
    if (lines_.empty()) throw Unusual{};
    OrderedJson out = block(lines_[0].indent, depth);
    if (next_ != lines_.size()) throw Unusual{};
    return out;
  }

 private:
  bool has_line_at(std::size_t indent) const {
    return next_ < lines_.size() && lines_[next_].indent == indent;
  }

  OrderedJson block(std::size_t indent, std::size_t depth) {
    if (depth == 0) throw Unusual{};
    return lines_[next_].text.starts_with("- ") ? list(indent, depth - 1) : map(indent, depth - 1);
  }

  OrderedJson list(std::size_t indent, std::size_t depth) {
    OrderedJson out = OrderedJson::array();
    while (has_line_at(indent)) {
      LineReader line(lines_[next_].text);
      if (!line.dash()) break;
      const std::string_view item = line.rest();
      const std::size_t inside = indent + lines_[next_].text.size() - item.size();
      if (is_word(item.front()) && item.find(':') != item.npos) {
        lines_[next_] = {inside, item};  // a map that begins behind the dash
        if (depth == 0) throw Unusual{};
        out.push_back(map(inside, depth - 1));
      } else {
        out.push_back(value_on_line(line, indent, depth));
      }
    }
    return out;
  }

  OrderedJson map(std::size_t indent, std::size_t depth) {
    OrderedJson out = OrderedJson::object();
    while (has_line_at(indent)) {
      LineReader line(lines_[next_].text);
      if (line.rest().starts_with("- ")) break;  // the list that holds this map goes on
      std::string name = line.key();
      if (out.contains(name)) throw Unusual{};
      out[name] = line.at_end() ? value_below(indent, depth) : value_on_line(line, indent, depth);
    }
    return out;
  }

  // A line further in would go on with the value, so there must be none.
  OrderedJson value_on_line(LineReader& line, std::size_t indent, std::size_t depth) {
    OrderedJson out = line.value(depth, false);
    ++next_;
    if (!line.at_end() || (next_ < lines_.size() && lines_[next_].indent > indent)) throw Unusual{};
    return out;
  }

  // A list may begin where its key does.
  OrderedJson value_below(std::size_t indent, std::size_t depth) {
    ++next_;
    if (next_ == lines_.size()) throw Unusual{};
    const Line& line = lines_[next_];
    if (line.indent < indent || (line.indent == indent && !line.text.starts_with("- ")))
      throw Unusual{};
    return block(line.indent, depth);
  }

  std::vector<Line> lines_;
  std::size_t next_ = 0;
};

}  // namespace

std::optional<OrderedJson> parse_simple_yaml(std::string_view text, std::size_t max_depth) try {
  return BlockReader(split_lines(text)).document(max_depth);
} catch (const Unusual&) {
  return std::nullopt;
}

}  // namespace quanthost

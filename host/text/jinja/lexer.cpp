#include "host/text/jinja/lexer.hpp"

#include <algorithm>
#include <array>

#include "host/base/error.hpp"

namespace quanthost::text::jinja {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : in_(source) {
    if (in_.ends_with('\n')) in_.remove_suffix(1);
  }

  std::vector<Token> run() {
    while (at_ < in_.size()) {
      const std::size_t tag = next_tag();
      text(in_.substr(at_, tag - at_), tag);
      at_ = tag;
      if (at_ < in_.size()) open_tag();
    }
    add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  bool sees(std::string_view text) const { return in_.substr(at_).starts_with(text); }

  void advance(std::size_t bytes) {
    line_ +=
        static_cast<int>(std::count(in_.begin() + static_cast<std::ptrdiff_t>(at_),
                                    in_.begin() + static_cast<std::ptrdiff_t>(at_ + bytes), '\n'));
    at_ += bytes;
  }

  std::size_t next_tag() const {
    std::size_t tag = at_;
    while ((tag = in_.find('{', tag)) != std::string_view::npos) {
      if (tag + 1 < in_.size() &&
          std::string_view("{%#").find(in_[tag + 1]) != std::string_view::npos)
        return tag;
      ++tag;
    }
    return in_.size();
  }

  // The text before a tag. "{%-" takes all whitespace before it away; a block that is first on its
  // line, the spaces.
  void text(std::string_view text, std::size_t tag) {
    const std::size_t size = text.size();
    std::string_view kept = text;
    const char kind = tag + 1 < in_.size() ? in_[tag + 1] : '\0';
    const char sign = tag + 2 < in_.size() ? in_[tag + 2] : '\0';
    if (strip_next_) {
      while (!kept.empty() && is_blank(kept.front())) kept.remove_prefix(1);
    } else if (drop_newline_ && kept.starts_with('\n')) {
      kept.remove_prefix(1);
    }
    if (sign == '-') {
      while (!kept.empty() && is_blank(kept.back())) kept.remove_suffix(1);
    } else if ((kind == '%' || kind == '#') && sign != '+') {
      strip_indentation(kept);
    }
    if (!kept.empty()) add(TokenKind::kText, std::string(kept));
    advance(size);
  }

  // Drops the blanks between the last line break and the tag, if there is nothing else.
  void strip_indentation(std::string_view& kept) const {
    std::size_t end = kept.size();
    while (end > 0 && kept[end - 1] != '\n' && is_blank(kept[end - 1])) --end;
    const auto begin = static_cast<std::size_t>(kept.data() - in_.data());
    const bool begins_line = end > 0 ? kept[end - 1] == '\n' : begin == 0 || in_[begin - 1] == '\n';
    if (begins_line) kept = kept.substr(0, end);
  }

  void open_tag() {
    const char kind = in_[at_ + 1];
    if (kind == '#') return comment();
    const std::size_t sign =
        at_ + 2 < in_.size() && (in_[at_ + 2] == '-' || in_[at_ + 2] == '+') ? 1 : 0;
    advance(2 + sign);
    add(kind == '{' ? TokenKind::kOutputBegin : TokenKind::kBlockBegin, "");
    inside(kind == '{' ? "}}" : "%}", kind == '%');
  }

  void comment() {
    const std::size_t end = in_.find("#}", at_ + 2);
    if (end == std::string_view::npos)
      fail(ErrorKind::kValue, "line {}: a comment {{# has no end", line_);
    strip_next_ = in_[end - 1] == '-' && end > at_ + 2;
    drop_newline_ = in_[end - 1] != '+';
    advance(end + 2 - at_);
  }

  // The tokens up to the closing sign.
  void inside(std::string_view closing, bool is_block) {
    const std::string minus = std::string("-").append(closing);
    const std::string plus = std::string("+").append(closing);
    int depth = 0;  // of ( [ {
    while (true) {
      while (at_ < in_.size() && is_blank(in_[at_])) advance(1);
      if (at_ >= in_.size())
        fail(ErrorKind::kValue, "line {}: a tag is never closed with {}", line_, closing);
      if (depth == 0 && (sees(closing) || sees(minus) || sees(plus))) break;
      token(depth);
    }
    strip_next_ = sees(minus);
    drop_newline_ = is_block && !sees(plus);
    advance(sees(closing) ? 2 : 3);
    add(is_block ? TokenKind::kBlockEnd : TokenKind::kOutputEnd, "");
  }

  void token(int& depth) {
    const char c = in_[at_];
    if (c == '"' || c == '\'') return string(c);
    if (is_digit(c)) return number();
    if (is_name(c)) return name();
    constexpr std::array<std::string_view, 6> kPairs = {"==", "!=", "<=", ">=", "//", "**"};
    for (const std::string_view pair : kPairs) {
      if (sees(pair)) return add(TokenKind::kSign, std::string(pair)), advance(2);
    }
    if (std::string_view("+-*/%~|.,:=<>()[]{}").find(c) == std::string_view::npos) {
      fail(ErrorKind::kValue, "line {}: unexpected character {:?}", line_, c);
    }
    if (c == '(' || c == '[' || c == '{') ++depth;
    if ((c == ')' || c == ']' || c == '}') && depth > 0) --depth;
    add(TokenKind::kSign, std::string(1, c));
    advance(1);
  }

  void name() {
    std::size_t end = at_;
    while (end < in_.size() && is_name(in_[end])) ++end;
    add(TokenKind::kName, std::string(in_.substr(at_, end - at_)));
    advance(end - at_);
  }

  void number() {
    std::size_t end = at_;
    while (end < in_.size() && is_digit(in_[end])) ++end;
    const bool fraction = end + 1 < in_.size() && in_[end] == '.' && is_digit(in_[end + 1]);
    if (fraction) {
      ++end;
      while (end < in_.size() && is_digit(in_[end])) ++end;
    }
    add(fraction ? TokenKind::kFloat : TokenKind::kInteger,
        std::string(in_.substr(at_, end - at_)));
    advance(end - at_);
  }

  void string(char quote) {
    std::string text;
    std::size_t end = at_ + 1;
    for (; end < in_.size() && in_[end] != quote; ++end) {
      if (in_[end] != '\\' || end + 1 >= in_.size()) {
        text += in_[end];
        continue;
      }
      const char c = in_[++end];
      if (c == 'n' || c == 't' || c == 'r') {
        text += c == 'n' ? '\n' : c == 't' ? '\t' : '\r';
      } else if (c == '\\' || c == '\'' || c == '"') {
        text += c;
      } else if (c == 'u' || c == 'x' || c == 'N' || is_digit(c)) {
        fail(ErrorKind::kNotImplemented, "line {}: the string escape \\{} is not supported", line_,
             c);
      } else {
        text.append("\\").append(1, c);
      }
    }
    if (end >= in_.size()) fail(ErrorKind::kValue, "line {}: a string has no end", line_);
    add(TokenKind::kString, std::move(text));
    advance(end + 1 - at_);
  }

  std::string_view in_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool strip_next_ = false;    // the last tag ended with "-"
  bool drop_newline_ = false;  // the last tag was a block
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace quanthost::text::jinja

#include "host/text/regex_syntax.hpp"

#include <cstring>
#include <vector>

#include "host/base/error.hpp"
#include "host/text/utf8.hpp"

namespace quanthost::text {
namespace {

// Members of a set, without the brackets. White_Space; and Oniguruma's word: alphabetic, marks,
// decimals, connectors.
constexpr std::string_view kSpace =
    R"(\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be}\x{24b6}-\x{24e9})"
    R"(\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";
constexpr std::string_view kHex = "0-9A-Fa-f";

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  std::string run() {
    while (at_ < in_.size()) step();
    return std::move(out_);
  }

 private:
  void step() {
    const char c = in_[at_];
    switch (c) {
      case '\\':
        return escape_outside_set();
      case '[':
        return begin_atom(), set();
      case '(':
        return open_group();
      case ')':
        return close_group();
      case '{':
        return interval();
      case '*':
      case '+':
      case '?':
      case '|':
      case '^':
      case '$':
        out_ += c, ++at_;
        return;
      default:
        begin_atom();
        copy_character();
        return;
    }
  }

  void begin_atom() { atom_ = out_.size(); }

  void copy_character() {
    const std::size_t length = sequence_length(in_[at_]);
    out_ += in_.substr(at_, length);
    at_ += length;
  }

  char escaped() const {
    if (at_ + 1 >= in_.size()) fail(ErrorKind::kValue, "the pattern ends with a lone backslash");
    return in_[at_ + 1];
  }

  void escape_outside_set() {
    begin_atom();
    const auto put = [&](std::string_view before, std::string_view members) {
      out_.append(before).append(members).append("]");
      at_ += 2;
    };
    const std::string word = "[" + std::string(kWord) + "]";
    switch (escaped()) {
      case 's':
        return put("[", kSpace);
      case 'S':
        return put("[^", kSpace);
      case 'w':
        return put("[", kWord);
      case 'W':
        return put("[^", kWord);
      case 'h':
        return put("[", kHex);
      case 'H':
        return put("[^", kHex);
      case 'b':
        out_ += "(?:(?<=" + word + ")(?!" + word + ")|(?<!" + word + ")(?=" + word + "))";
        at_ += 2;
        return;
      case 'B':
        out_ += "(?:(?<=" + word + ")(?=" + word + ")|(?<!" + word + ")(?!" + word + "))";
        at_ += 2;
        return;
      default:
        copy_escape();
    }
  }

  // Copies an escape that means the same in both, e.g. \p{L}, \x{2581}, \n.
  void copy_escape() {
    const char kind = escaped();
    out_ += '\\';
    ++at_;
    copy_character();
    if (std::strchr("pPxok", kind) && at_ < in_.size() && in_[at_] == '{') {
      const std::size_t close = in_.find('}', at_);
      if (close == std::string_view::npos) {
        fail(ErrorKind::kValue, "the pattern has \\{}{{ without }}", kind);
      }
      out_ += property(in_.substr(at_, close + 1 - at_), kind);
      at_ = close + 1;
    }
  }

  // \p{Han} is the script there, and the script with its extensions here.
  static std::string property(std::string_view braced, char kind) {
    const std::string_view name = braced.substr(1, braced.size() - 2);
    const bool is_script =
        (kind == 'p' || kind == 'P') && name.size() > 2 && name != "Any" && name[0] != '^';
    return is_script ? fmt::format("{{sc:{}}}", name) : std::string(braced);
  }

  void set() {
    out_ += in_[at_++];
    if (at_ < in_.size() && in_[at_] == '^') out_ += in_[at_++];
    if (at_ < in_.size() && in_[at_] == ']') out_ += "\\]", ++at_;
    while (at_ < in_.size() && in_[at_] != ']') set_member();
    if (at_ >= in_.size())
      fail(ErrorKind::kValue, "the pattern has a set that is never closed with ]");
    out_ += in_[at_++];
  }

  void set_member() {
    const std::string_view rest = in_.substr(at_);
    if (rest.starts_with("&&"))
      fail(ErrorKind::kNotImplemented, "set intersections (&& inside [ ]) are not supported");
    if (rest.starts_with("[:")) {
      const std::size_t close = rest.find(":]");
      if (close == std::string_view::npos) fail(ErrorKind::kValue, "the pattern has [: without :]");
      out_ += rest.substr(0, close + 2);
      at_ += close + 2;
    } else if (rest[0] == '[') {
      fail(ErrorKind::kNotImplemented, "sets inside sets are not supported");
    } else if (rest[0] == '\\') {
      escape_in_set();
    } else {
      copy_character();
    }
  }

  void escape_in_set() {
    switch (escaped()) {
      case 's':
        out_ += kSpace, at_ += 2;
        return;
      case 'w':
        out_ += kWord, at_ += 2;
        return;
      case 'h':
        out_ += kHex, at_ += 2;
        return;
      case 'S':
      case 'W':
      case 'H':
        fail(ErrorKind::kNotImplemented, "\\{} inside [ ] is not supported", escaped());
      default:
        copy_escape();
    }
  }

  void open_group() {
    groups_.push_back(out_.size());
    out_ += in_[at_++];
    if (!in_.substr(at_).starts_with("?")) return;
    std::size_t end = at_ + 1;
    while (end < in_.size() && std::strchr("imx-", in_[end])) ++end;
    const bool inline_options =
        end < in_.size() && (in_[end] == ':' || in_[end] == ')') && end > at_ + 1;
    if (inline_options) {
      for (; at_ < end; ++at_) out_ += in_[at_] == 'm' ? 's' : in_[at_];
    }
  }

  void close_group() {
    if (!groups_.empty()) atom_ = groups_.back(), groups_.pop_back();
    out_ += in_[at_++];
  }

  // {n,m} followed by + repeats the repeat: (?:X{n,m})+. A brace that is no interval is an ordinary
  // character.
  void interval() {
    std::size_t end = at_ + 1;
    while (end < in_.size() && std::strchr("0123456789,", in_[end])) ++end;
    const bool is_interval = end < in_.size() && in_[end] == '}' && end > at_ + 1;
    if (!is_interval) {
      begin_atom();
      out_ += "\\{";
      ++at_;
      return;
    }
    out_ += in_.substr(at_, end + 1 - at_);
    at_ = end + 1;
    if (at_ < in_.size() && in_[at_] == '+') {
      out_.insert(atom_, "(?:");
      out_ += ")";
    }
  }

  std::string_view in_;
  std::size_t at_ = 0;
  std::string out_;
  std::size_t atom_ = 0;             // where the last atom begins in out_
  std::vector<std::size_t> groups_;  // where the open groups begin in out_
};

}  // namespace

std::string pcre2_pattern(std::string_view oniguruma_pattern) {
  return Translator(oniguruma_pattern).run();
}

std::string escape_for_regex(std::string_view literal) {
  std::string pattern;
  for (const char c : literal) {
    if (std::strchr(R"(\.+*?()|[]{}^$#&-~)", c) && c != '\0') pattern += '\\';
    pattern += c;
  }
  return pattern;
}

}  // namespace quanthost::text

#include "host/plugins/version.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <optional>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

constexpr std::size_t kMaxLength = 256;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z'); }
bool is_separator(char c) { return c == '.' || c == '-' || c == '_'; }

std::string_view strip(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\r\f\v";
  const auto begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::optional<std::uint64_t> to_number(std::string_view digits) {
  std::uint64_t value = 0;
  for (char c : digits) {
    if (__builtin_mul_overflow(value, std::uint64_t{10}, &value) ||
        __builtin_add_overflow(value, static_cast<std::uint64_t>(c - '0'), &value)) {
      return std::nullopt;
    }
  }
  return value;
}

std::strong_ordering compare_release(const std::vector<std::uint64_t>& a,
                                     const std::vector<std::uint64_t>& b) {
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const auto x = i < a.size() ? a[i] : 0, y = i < b.size() ? b[i] : 0;  // 1.0 is 1.0.0
    if (x != y) return x <=> y;
  }
  return std::strong_ordering::equal;
}

}  // namespace

// Reads one version from left to right. Every part is optional but the release.
class VersionParser {
 public:
  explicit VersionParser(std::string_view text) : lower_(strip(text)) {
    for (char& c : lower_) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    version_.text_ = std::string(strip(text));
  }

  std::optional<Version> parse() {
    if (lower_.size() > kMaxLength) return std::nullopt;
    if (peek() == 'v') ++at_;
    if (!read_release()) return std::nullopt;
    read_pre();
    if (!ok_) return std::nullopt;
    read_post();
    read_dev();
    if (!ok_ || !read_local() || at_ != lower_.size()) return std::nullopt;
    return version_;
  }

 private:
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < lower_.size() ? lower_[at_ + ahead] : '\0';
  }

  std::string_view digits() {
    const std::size_t begin = at_;
    while (is_digit(peek())) ++at_;
    return std::string_view(lower_).substr(begin, at_ - begin);
  }

  bool number(std::uint64_t& out, bool required) {
    const auto text = digits();
    if (text.empty()) {
      out = 0;
      return !required;
    }
    const auto value = to_number(text);
    ok_ = ok_ && value.has_value();
    out = value.value_or(0);
    return true;
  }

  bool read_release() {
    std::uint64_t first = 0;
    if (!number(first, true)) return false;
    if (peek() == '!') {
      ++at_;
      version_.epoch_ = first;
      if (!number(first, true)) return false;
    }
    version_.release_ = {first};
    while (peek() == '.' && is_digit(peek(1))) {
      ++at_;
      number(version_.release_.emplace_back(), true);
    }
    return ok_;
  }

  // Takes "[sep]word[sep]number" when one of the words follows; the number may be missing and is 0
  // then.
  template <std::size_t N>
  const char* word(const std::array<const char*, N>& words, std::uint64_t& number_out) {
    const std::size_t start = at_;
    if (is_separator(peek())) ++at_;
    for (const char* candidate : words) {
      if (std::string_view(lower_).substr(at_).starts_with(candidate)) {
        at_ += std::string_view(candidate).size();
        if (is_separator(peek())) ++at_;  // with or without a number behind it
        number(number_out, false);
        return candidate;
      }
    }
    at_ = start;
    return nullptr;
  }

  void read_pre() {
    constexpr std::array kWords{"alpha", "a", "beta", "b", "preview", "pre", "rc", "c"};
    const char* found = word(kWords, version_.pre_);
    if (!found) return;
    version_.has_pre_ = true;
    version_.pre_kind_ = found[0] == 'a' || found[0] == 'b' ? found[0] : 'r';
  }

  void read_post() {
    constexpr std::array kWords{"post", "rev", "r"};
    if (peek() == '-' && is_digit(peek(1))) {
      ++at_;
      version_.has_post_ = number(version_.post_, true);
    } else {
      version_.has_post_ = word(kWords, version_.post_) != nullptr;
    }
  }

  void read_dev() {
    constexpr std::array kWords{"dev"};
    version_.has_dev_ = word(kWords, version_.dev_) != nullptr;
  }

  bool read_local() {
    if (peek() != '+') return true;
    do {
      ++at_;
      const std::size_t begin = at_;
      while (is_alnum(peek())) ++at_;
      const auto part = std::string_view(lower_).substr(begin, at_ - begin);
      if (part.empty()) return false;
      if (std::all_of(part.begin(), part.end(), is_digit)) {
        const auto value = to_number(part);
        if (!value) return false;
        version_.local_.emplace_back(*value);
      } else {
        version_.local_.emplace_back(std::string(part));
      }
    } while (is_separator(peek()));
    return true;
  }

  std::string lower_;
  std::size_t at_ = 0;
  bool ok_ = true;  // false once a number was too large
  Version version_;
};

Version Version::parse(std::string_view text) {
  if (auto version = VersionParser(text).parse()) return *version;
  fail(ErrorKind::kValue, "'{}' is not a PEP 440 version such as 1.2.3, 1.0rc1 or 2.0.post1",
       text.substr(0, kMaxLength));
}

bool Version::is_valid(std::string_view text) { return VersionParser(text).parse().has_value(); }

Version Version::without_local() const {
  Version copy = *this;
  copy.local_.clear();
  return copy;
}

std::strong_ordering operator<=>(const Version& a, const Version& b) {
  if (a.epoch_ != b.epoch_) return a.epoch_ <=> b.epoch_;
  if (auto order = compare_release(a.release_, b.release_); order != 0) return order;
  // 1.0.dev1 < 1.0a1 < 1.0b1 < 1.0rc1 < 1.0 < 1.0.post1; a dev release comes before what it leads
  // to.
  const auto pre_rank = [](const Version& v) {
    if (v.has_pre_) return static_cast<int>(v.pre_kind_);
    return !v.has_post_ && v.has_dev_ ? 0 : 1000;
  };
  if (pre_rank(a) != pre_rank(b)) return pre_rank(a) <=> pre_rank(b);
  if (a.pre_ != b.pre_) return a.pre_ <=> b.pre_;
  if (a.has_post_ != b.has_post_) return a.has_post_ <=> b.has_post_;
  if (a.post_ != b.post_) return a.post_ <=> b.post_;
  if (a.has_dev_ != b.has_dev_) return b.has_dev_ <=> a.has_dev_;
  if (a.dev_ != b.dev_) return a.dev_ <=> b.dev_;
  return a.local_ <=> b.local_;
}

Constraint Constraint::parse(std::string_view text) {
  const std::string_view whole = strip(text);
  struct Spelling {
    std::string_view sign;
    Operator op;
  };
  constexpr std::array kSpellings{
      Spelling{"==", Operator::kEqual},      Spelling{"!=", Operator::kNotEqual},
      Spelling{"<=", Operator::kLessEqual},  Spelling{">=", Operator::kGreaterEqual},
      Spelling{"~=", Operator::kCompatible}, Spelling{"<", Operator::kLess},
      Spelling{">", Operator::kGreater}};
  const auto* found = std::find_if(kSpellings.begin(), kSpellings.end(),
                                   [&](const Spelling& s) { return whole.starts_with(s.sign); });
  if (found == kSpellings.end() || whole.starts_with("===")) {
    throw Error(ErrorKind::kValue, fmt::format("'{}' is not a version constraint", whole),
                "use ==, !=, <, <=, >, >= or ~= and a version, for example >=0.39.0");
  }
  Constraint constraint;
  constraint.operator_ = found->op;
  constraint.text_ = std::string(whole);
  std::string_view number = strip(whole.substr(found->sign.size()));
  const bool equality = found->op == Operator::kEqual || found->op == Operator::kNotEqual;
  if (equality && number.ends_with(".*")) {
    constraint.wildcard_ = true;
    number.remove_suffix(2);
    if (number.ends_with(' ')) fail(ErrorKind::kValue, "'{}': a space before .*", whole);
  }
  constraint.version_ = Version::parse(number);
  const Version& v = constraint.version_;
  if (constraint.wildcard_ && (v.has_pre_ || v.has_post_ || v.has_dev_ || v.has_local())) {
    fail(ErrorKind::kValue, "'{}': a wildcard follows a plain release such as 1.2.*", whole);
  }
  if (!equality && v.has_local()) {
    fail(ErrorKind::kValue, "'{}': a local part (+{}) is only allowed with == and !=", whole,
         number.substr(number.find('+') + 1));
  }
  if (found->op == Operator::kCompatible && v.release_.size() < 2) {
    fail(ErrorKind::kValue, "'{}': ~= needs at least two numbers, for example ~=1.2", whole);
  }
  return constraint;
}

bool Constraint::matches_prefix(const Version& version, std::size_t release_parts) const {
  if (version.epoch_ != version_.epoch_) return false;
  for (std::size_t i = 0; i < release_parts; ++i) {
    if ((i < version.release_.size() ? version.release_[i] : 0) != version_.release_[i])
      return false;
  }
  return true;
}

bool Constraint::allows(const Version& version) const {
  const Version plain = version.without_local();
  const bool same_release = version.epoch_ == version_.epoch_ &&
                            compare_release(version.release_, version_.release_) == 0;
  switch (operator_) {
    case Operator::kEqual:
    case Operator::kNotEqual: {
      const bool equal = wildcard_ ? matches_prefix(version, version_.release_.size())
                                   : (version_.has_local() ? version : plain) == version_;
      return equal == (operator_ == Operator::kEqual);
    }
    case Operator::kLessEqual:
      return plain <= version_;
    case Operator::kGreaterEqual:
      return plain >= version_;
    case Operator::kCompatible:
      return plain >= version_ && matches_prefix(version, version_.release_.size() - 1);
    case Operator::kLess: {
      // "<2.0" does not mean 2.0rc1, and "<2.0.post1" not 2.0.post1.dev2.
      const bool early = same_release && version.is_prerelease() && !version_.is_prerelease();
      const bool same_post =
          !version.has_pre_ && version.has_post_ && version.post_ == version_.post_;
      return version < version_ && !(early && (!version_.has_post_ || same_post));
    }
    case Operator::kGreater: {
      // ">1.7" means neither 1.7+cpu nor 1.7.post1.
      const bool post_of_it =
          version.is_postrelease() && !version_.has_post_ && !version_.has_dev_ && same_release &&
          version.has_pre_ == version_.has_pre_ && version.pre_kind_ == version_.pre_kind_ &&
          version.pre_ == version_.pre_;
      return plain > version_ && !post_of_it;
    }
  }
  return false;
}

Constraints Constraints::parse(std::string_view text) {
  Constraints constraints;
  if (strip(text).empty()) return constraints;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    const auto part = strip(text.substr(begin, comma - begin));
    if (!part.empty()) constraints.all_.push_back(Constraint::parse(part));
    begin = comma + 1;
  }
  return constraints;
}

bool Constraints::allows(const Version& version) const {
  return std::all_of(all_.begin(), all_.end(),
                     [&](const Constraint& c) { return c.allows(version); });
}

std::string Constraints::text() const {
  std::string joined;
  for (const Constraint& constraint : all_)
    joined += (joined.empty() ? "" : ",") + constraint.text();
  return joined;
}

}  // namespace quanthost

// PEP 440: versions, and the constraints that `required_packages` entries put on them.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace quanthost {

// A PEP 440 version, ordered as packaging.version.Version orders it.
class Version {
 public:
  Version() = default;
  static Version parse(std::string_view text);  // throws kValue with the text and what is wrong
  static bool is_valid(std::string_view text);

  const std::string& text() const { return text_; }  // as it was written
  bool is_prerelease() const { return has_pre_ || has_dev_; }
  bool is_postrelease() const { return has_post_; }
  bool has_local() const { return !local_.empty(); }
  Version without_local() const;

  friend std::strong_ordering operator<=>(const Version& a, const Version& b);
  friend bool operator==(const Version& a, const Version& b) { return (a <=> b) == 0; }

 private:
  friend class VersionParser;
  friend class Constraint;
  using LocalPart = std::variant<std::string, std::uint64_t>;  // words sort before numbers

  std::string text_ = "0";
  std::uint64_t epoch_ = 0;
  std::vector<std::uint64_t> release_{0};
  bool has_pre_ = false, has_post_ = false, has_dev_ = false;
  char pre_kind_ = 0;  // 'a', 'b' or 'r' (rc)
  std::uint64_t pre_ = 0, post_ = 0, dev_ = 0;
  std::vector<LocalPart> local_;
};

// One comparison: ==, !=, <, <=, >, >=, ~=, and the wildcards ==1.2.* and !=1.2.*.
class Constraint {
 public:
  static Constraint parse(std::string_view text);
  bool allows(const Version& version) const;
  const std::string& text() const { return text_; }

 private:
  enum class Operator {
    kEqual,
    kNotEqual,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual,
    kCompatible
  };

  bool matches_prefix(const Version& version, std::size_t release_parts) const;

  Operator operator_ = Operator::kEqual;
  Version version_;
  bool wildcard_ = false;
  std::string text_;
};

// Constraints joined by commas; none allows every version. A pre-release is allowed when it lies in
// the range, as pip does for what is already installed.
class Constraints {
 public:
  static Constraints parse(std::string_view text);
  bool allows(const Version& version) const;
  bool empty() const { return all_.empty(); }
  std::string text() const;  // "" when there are none

 private:
  std::vector<Constraint> all_;
};

}  // namespace quanthost

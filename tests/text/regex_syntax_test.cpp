#include "host/text/regex_syntax.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/base/error.hpp"
#include "host/text/regex.hpp"

namespace quanthost::text {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> matches(std::string_view pattern, std::string_view text) {
  std::vector<std::string> found;
  Regex(pattern).partition(text, [&](std::size_t begin, std::size_t end, bool is_match) {
    if (is_match) found.emplace_back(text.substr(begin, end - begin));
  });
  return found;
}

constexpr const char* kText = "I'LL pay  $1234.56\n\n  ok";

TEST(Regex, CutsAsGpt2) {
  EXPECT_THAT(
      matches(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
              kText),
      ElementsAre("I", "'", "LL", " pay", " ", " $", "1234", ".", "56", "\n\n ", " ok"));
}

TEST(Regex, CutsAsLlama3) {
  EXPECT_THAT(
      matches(
          R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
          R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
          kText),
      ElementsAre("I", "'LL", " pay", " ", " $", "123", "4", ".", "56", "\n\n", " ", " ok"));
}

TEST(Regex, TakesWhitespaceFromUnicodeAlone) {
  EXPECT_THAT(matches(R"(\s)", "\xE1\xA0\x8E\xC2\x85\xE3\x80\x80"),
              ElementsAre("\xC2\x85", "\xE3\x80\x80"));
}

TEST(Regex, RepeatsARepeatWherePcreWouldBePossessive) {
  EXPECT_THAT(matches("a{1,2}+b", "aaab"), ElementsAre("aaab"));
  EXPECT_THAT(matches("(?:ab){1}+c", "ababc"), ElementsAre("ababc"));
}

TEST(Regex, KeepsPossessiveQuantifiers) { EXPECT_THAT(matches("a++a", "aaa"), IsEmpty()); }

TEST(Regex, TreatsHAsHexDigitAndMAsDotAll) {
  EXPECT_THAT(matches(R"(\h+)", "xyAF9z"), ElementsAre("AF9"));
  EXPECT_THAT(matches("(?m:a.b)", "a\nb"), ElementsAre("a\nb"));
  EXPECT_THAT(matches("a.b", "a\nb"), IsEmpty());
}

TEST(Regex, MatchesLineEndsEverywhere) { EXPECT_THAT(matches("^b$", "a\nb\nc"), ElementsAre("b")); }

TEST(Regex, RefusesWhatCannotBeRewritten) {
  EXPECT_THROW(Regex("[a&&b]"), Error);
  EXPECT_THROW(Regex("[a[b]]"), Error);
  EXPECT_THROW(Regex(R"([\S])"), Error);
  EXPECT_THROW(Regex("("), Error);
  EXPECT_THROW(Regex("[a"), Error);
  EXPECT_THROW(Regex("a\\"), Error);
  EXPECT_THROW(Regex(R"(\C)"), Error);
}

TEST(Regex, EscapesLiterals) {
  EXPECT_THAT(matches(escape_for_regex("a.b{1}+|"), "a.b{1}+|"), ElementsAre("a.b{1}+|"));
}

}  // namespace
}  // namespace quanthost::text

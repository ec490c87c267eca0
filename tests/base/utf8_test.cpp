// The UTF-8 check that readers of files and texts share, at the edges of Unicode's table 3-7.
#include "host/base/utf8.hpp"

#include <gtest/gtest.h>

#include <string>

namespace quanthost {
namespace {

using namespace std::string_literals;

TEST(Utf8, AcceptsTheFirstAndLastCharacterOfEveryLength) {
  EXPECT_EQ(first_invalid_utf8(""), std::nullopt);
  EXPECT_EQ(
      first_invalid_utf8("\0\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF"
                         "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"s),
      std::nullopt);
}

TEST(Utf8, RefusesOverlongFormsSurrogatesAndWhatIsBeyondUnicode) {
  for (const char* bytes : {"\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80",
                            "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80"}) {
    EXPECT_EQ(first_invalid_utf8("ok"s + bytes), 2u) << ::testing::PrintToString(bytes);
  }
}

TEST(Utf8, GivesTheOffsetAlsoBehindLongRunsOfAscii) {
  for (std::size_t offset = 0; offset < 40; ++offset) {
    std::string text(40, 'a');
    text[offset] = '\xFF';
    EXPECT_EQ(first_invalid_utf8(text), offset);
  }
}

TEST(Utf8, TellsTheMaximalIllFormedPart) {
  EXPECT_EQ(utf8_sequence_at("\xF0\x9F\x98", 0).length, 3u);
  EXPECT_EQ(utf8_sequence_at("\xE2\x82z", 0).length, 2u);
  EXPECT_EQ(utf8_sequence_at("\xED\xA0\x80", 0).length, 1u);
  EXPECT_FALSE(utf8_sequence_at("\xF0\x9F\x98", 0).valid);
}

}  // namespace
}  // namespace quanthost

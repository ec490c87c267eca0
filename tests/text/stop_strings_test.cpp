#include "host/text/stop_strings.hpp"

#include <gtest/gtest.h>

#include "host/base/error.hpp"

namespace quanthost::text {
namespace {

// What is given out when the text comes in pieces of `size` bytes.
std::string shown(std::vector<std::string> stops, std::string_view text, std::size_t size,
                  bool& reached) {
  StopStrings watch(std::move(stops));
  std::string all;
  for (std::size_t at = 0; at < text.size(); at += size) all += watch.push(text.substr(at, size));
  reached = watch.reached();
  return all + watch.finish();
}

TEST(StopStrings, EndTheTextHoweverItIsCutIntoPieces) {
  const std::string text = "one two\nUser: three\nUser: four";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    bool reached = false;
    EXPECT_EQ(shown({"\nUser:"}, text, size, reached), "one two") << size;
    EXPECT_TRUE(reached);
  }
}

TEST(StopStrings, TheOneThatComesFirstInTheTextCounts) {
  bool reached = false;
  EXPECT_EQ(shown({"three", "two"}, "one two three", 100, reached), "one ");
  EXPECT_EQ(shown({"ab", "aab"}, "xaab", 1, reached), "x");
}

TEST(StopStrings, GiveOutEverythingWhenNoneComes) {
  for (std::size_t size = 1; size < 8; ++size) {
    bool reached = true;
    EXPECT_EQ(shown({"abc", "bd"}, "ab abab aab", size, reached), "ab abab aab") << size;
    EXPECT_FALSE(reached);
  }
}

TEST(StopStrings, HoldBackOnlyWhatMayBecomeOne) {
  StopStrings watch({"<end>"});
  EXPECT_EQ(watch.push("a <e"), "a ");
  EXPECT_EQ(watch.push("l"), "<el");
  EXPECT_EQ(watch.push("<end"), "");
  EXPECT_EQ(watch.push("> more"), "");
  EXPECT_TRUE(watch.reached());
  EXPECT_EQ(watch.push("more"), "");
  EXPECT_EQ(watch.finish(), "");
}

TEST(StopStrings, AnEmptyOneIsRefused) { EXPECT_THROW(StopStrings({"a", ""}), Error); }

}  // namespace
}  // namespace quanthost::text

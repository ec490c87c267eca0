#include "host/text/stream_decoder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/text/utf8.hpp"
#include "tests/text/small_tokenizers.hpp"

namespace quanthost::text {
namespace {

TEST(StreamDecoder, GivesOutWholeCharactersOnly) {
  const Tokenizer tokenizer = byte_level_tokenizer();
  const std::string text =
      "hello \xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7 w\xC3\xA9 \xE4\xB8\xAD";
  StreamDecoder stream(tokenizer);
  std::string all;
  for (const TokenId id : tokenizer.encode(text)) {
    const std::string part = stream.push(id);
    EXPECT_EQ(replace_invalid_utf8(part), part);
    EXPECT_EQ(part.find("\xEF\xBF\xBD"), std::string::npos) << part;
    all += part;
  }
  EXPECT_EQ(all + stream.finish(), text);
}

TEST(StreamDecoder, KeepsAnIncompleteCharacterBackUntilTheEnd) {
  StreamDecoder stream(byte_level_tokenizer());
  EXPECT_EQ(stream.push('a'), "a");
  EXPECT_EQ(stream.push(0xE4), "");
  EXPECT_EQ(stream.push(0xB8), "");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.finish(), "");
}

TEST(StreamDecoder, ShowsBytesThatNeverBecomeACharacter) {
  StreamDecoder stream(byte_level_tokenizer());
  EXPECT_EQ(stream.push(0xFF), "");
  EXPECT_EQ(stream.push('a'),
            "\xEF\xBF\xBD"
            "a");
}

TEST(StreamDecoder, LeavesSpecialTokensOutUnlessAsked) {
  StreamDecoder quiet(byte_level_tokenizer());
  EXPECT_EQ(quiet.push(261), "");
  StreamDecoder open(byte_level_tokenizer(), SpecialTokens::kAdd);
  EXPECT_EQ(open.push(261), "<|end|>");
}

TEST(StreamDecoder, KeepsTheSpacesBetweenWords) {
  Json json = byte_level_json();
  const std::string mark = "\xE2\x96\x81";
  json["model"] = {
      {"type", "WordLevel"}, {"unk_token", "?"}, {"vocab", {{mark + "a", 0}, {mark + "b", 1}}}};
  json["pre_tokenizer"] = nullptr;
  json["decoder"] = {{"type", "Sequence"},
                     {"decoders",
                      {{{"type", "Replace"}, {"pattern", {{"String", mark}}}, {"content", " "}},
                       {{"type", "Fuse"}},
                       {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
  StreamDecoder stream(tokenizer_of(json));
  EXPECT_EQ(stream.push(0), "a");
  EXPECT_EQ(stream.push(1), " b");
  EXPECT_EQ(stream.push(1), " b");
}

}  // namespace
}  // namespace quanthost::text

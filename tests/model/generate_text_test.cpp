// Text generation with the checked-in llama, whose 64 tokens get one letter or digit each.
#include "host/model/generate_text.hpp"

#include <gtest/gtest.h>

#include "golden.hpp"

namespace quanthost::model {
namespace {

const std::vector<std::vector<std::int64_t>> kPrompts{{5, 6, 7, 8}, {9, 10}};

text::Tokenizer letters() {
  const std::string characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
  Json vocab = Json::object();
  for (std::size_t id = 0; id < characters.size(); ++id) vocab[std::string(1, characters[id])] = id;
  const Json json{{"model", {{"type", "WordLevel"}, {"vocab", vocab}, {"unk_token", "-"}}},
                  {"decoder", {{"type", "Fuse"}}}};
  return text::Tokenizer::from_json(json.dump(), "letters");
}

GenerationOptions greedy(std::vector<std::string> stops = {}) {
  GenerationOptions options;
  options.max_new_tokens = 24;
  options.stop_strings = std::move(stops);
  return options;
}

TEST(GenerateText, GivesTheTextOfTheTokensPieceByPiece) {
  auto model = load_golden("llama");
  std::vector<std::string> pieces(2);
  const TextGeneration result =
      generate_text(*model, letters(), kPrompts, greedy(),
                    [&](std::size_t row, std::string_view piece, std::int64_t) {
                      pieces[row] += piece;
                      return true;
                    });
  EXPECT_EQ(result.generation.tokens, generate(*model, kPrompts, greedy()).tokens);
  for (std::size_t row = 0; row < 2; ++row) {
    EXPECT_EQ(result.texts[row].size(), 24u);
    EXPECT_EQ(pieces[row], result.texts[row]);
  }
}

TEST(GenerateText, AStopStringEndsItsOwnRowOnly) {
  auto model = load_golden("llama");
  const TextGeneration whole = generate_text(*model, letters(), kPrompts, greedy());
  std::string stop;  // the first two letters of the first row that the second never has
  for (std::size_t at = 1; stop.empty(); ++at) {
    ASSERT_LT(at, 20u) << "the rows must differ: " << whole.texts[0] << ", " << whole.texts[1];
    if (whole.texts[1].find(whole.texts[0].substr(at, 2)) == std::string::npos)
      stop = whole.texts[0].substr(at, 2);
  }
  const std::size_t end = whole.texts[0].find(stop);
  const TextGeneration result = generate_text(*model, letters(), kPrompts, greedy({"no", stop}));
  EXPECT_EQ(result.texts[0], whole.texts[0].substr(0, end));
  EXPECT_EQ(result.generation.tokens[0].size(), end + stop.size());
  EXPECT_EQ(result.texts[1], whole.texts[1]);
  EXPECT_EQ(result.ends, (std::vector{TextEnd::kStopString, TextEnd::kLength}));
}

TEST(GenerateText, AnEndTokenEndsItsRow) {
  auto model = load_golden("llama");
  GenerationOptions options = greedy();
  options.stop_ids = {generate(*model, kPrompts, greedy()).tokens[0][2]};
  const TextGeneration result = generate_text(*model, letters(), kPrompts, options);
  EXPECT_EQ(result.ends[0], TextEnd::kEndOfText);
  EXPECT_LE(result.generation.tokens[0].size(), 3u);
}

TEST(GenerateText, TheCallerEndsARowByReturningFalse) {
  auto model = load_golden("llama");
  const TextGeneration result =
      generate_text(*model, letters(), kPrompts, greedy(),
                    [](std::size_t row, std::string_view, std::int64_t) { return row != 0; });
  EXPECT_EQ(result.ends[0], TextEnd::kCallback);
  EXPECT_EQ(result.ends[1], TextEnd::kLength);
  EXPECT_EQ(result.generation.tokens[0].size(), 1u);
  EXPECT_EQ(result.generation.tokens[1].size(), 24u);
}

TEST(GenerateText, GeneratingIdsAloneRefusesStopStrings) {
  auto model = load_golden("llama");
  EXPECT_THROW(generate(*model, kPrompts, greedy({"x"})), Error);
}

TEST(GenerationOptions, WishesGoBeforeWhatTheFilesSay) {
  const Json config{{"do_sample", true}, {"temperature", 0.7}, {"top_k", 9}, {"top_p", 0.5}};
  GenerationWishes wishes;
  wishes.top_k = 3;
  const GenerationOptions some = generation_options({}, &config, wishes);
  EXPECT_TRUE(some.sample);
  EXPECT_EQ(some.top_k, 3);
  EXPECT_EQ(some.top_p, 0.5);
  wishes.temperature = 0;
  EXPECT_FALSE(generation_options({}, &config, wishes).sample);
  wishes.temperature = 1.5;
  EXPECT_TRUE(generation_options({}, nullptr, wishes).sample);
  wishes.greedy = true;
  EXPECT_FALSE(generation_options({}, nullptr, wishes).sample);
}

TEST(GenerationOptions, TakeStopStringsFromTheConfigurationAsOneOrAsAList) {
  const Json one{{"stop_strings", "END"}}, list{{"stop_strings", {"a", "b"}}},
      none{{"stop_strings", nullptr}};
  EXPECT_EQ(generation_options({}, &one).stop_strings, std::vector<std::string>{"END"});
  EXPECT_EQ(generation_options({}, &list).stop_strings, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(generation_options({}, &none).stop_strings.empty());
}

}  // namespace
}  // namespace quanthost::model

#include "host/load/skip_rules.hpp"

#include <gmock/gmock.h>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

using testing::ElementsAre;

const SkipFacts kTiedLlama{
    {{"lm_head.weight", "model.embed_tokens.weight"}}, "model.norm.weight", "lm_head"};
const SkipFacts kUntiedQwen{{}, "lm_head.weight", "lm_head"};
const SkipFacts kGpt2{
    {{"lm_head.weight", "transformer.wte.weight"}}, "transformer.ln_f.bias", "lm_head"};

// Expected values: transformers 5.17's get_keys_to_not_convert on tiny models of these families.
TEST(DefaultModulesToNotConvert, AreTransformersFiveOnes) {
  EXPECT_THAT(default_modules_to_not_convert(kTiedLlama),
              ElementsAre("lm_head", "model.embed_tokens", "model.norm"));
  EXPECT_THAT(default_modules_to_not_convert(kUntiedQwen), ElementsAre("lm_head"));
  EXPECT_THAT(default_modules_to_not_convert(kGpt2),
              ElementsAre("lm_head", "transformer.ln_f.bias", "transformer.wte"));
}

TEST(DefaultModulesToNotConvert, WereTheHeadAloneIn441WhenNothingIsTied) {
  EXPECT_THAT(default_modules_to_not_convert_4_41(kUntiedQwen), ElementsAre("lm_head"));
  EXPECT_THAT(default_modules_to_not_convert_4_41(kGpt2),
              ElementsAre("lm_head", "transformer.ln_f", "transformer.wte"));
}

TEST(SkipList, MatchesFromTheStartWithoutABoundary) {
  EXPECT_TRUE(SkipList({"model.layers.1"}).skips("model.layers.11.q"));
  EXPECT_TRUE(SkipList({"model.layers.1"}).skips("model.layers.1.q"));
  EXPECT_FALSE(SkipList({"model.layers.1"}).skips("model.layers.2.q"));
}

TEST(SkipList, MatchesTheEndAsText) {
  EXPECT_TRUE(SkipList({"fc1"}).skips("a.xfc1"));
  EXPECT_FALSE(SkipList({"layers.3"}).skips("model.layers.3.q"));
}

TEST(SkipList, ReadsRegularExpressions) {
  EXPECT_EQ(SkipList({"lm_head", R"(model\.layers\.\d+\.mlp)"}).reason("model.layers.12.mlp.up"),
            R"(model\.layers\.\d+\.mlp)");
  EXPECT_FALSE(SkipList({R"(model\.layers\.\d+\.mlp)"}).skips("model.layers.12.attn"));
}

TEST(SkipList, RefusesWhatIsNoRegularExpression) {
  try {
    SkipList({"model.(layers"});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kValue);
    EXPECT_NE(e.message().find("model.(layers"), std::string::npos);
  }
}

TEST(SkipRules441, AreThoseOfTheirTime) {
  EXPECT_TRUE(skips_bnb_4_41("model.layers.3.q", {"layers.3"}));
  EXPECT_FALSE(skips_bnb_4_41("model.layers.31.q", {"layers.3"}));
  EXPECT_TRUE(skips_bnb_4_41("model.lm_head", {"lm_head"}));
  EXPECT_TRUE(skips_quanto_4_41("model.layers.31.q", {"layers.3"}));
}

}  // namespace
}  // namespace quanthost

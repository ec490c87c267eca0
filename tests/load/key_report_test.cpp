#include "host/load/key_report.hpp"

#include <gmock/gmock.h>

namespace quanthost {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(PrefixChange, AddsThePrefixToABareModelsKeys) {
  EXPECT_EQ(prefix_change("model.", {"layers.0.w", "norm.w"}, {"model.layers.0.w", "lm_head.w"}),
            PrefixChange::kAdd);
  EXPECT_EQ(rename_key("norm.w", "model.", PrefixChange::kAdd), "model.norm.w");
}

TEST(PrefixChange, RemovesItForABareModel) {
  EXPECT_EQ(prefix_change("model.", {"model.norm.w", "lm_head.w"}, {"norm.w"}),
            PrefixChange::kRemove);
  EXPECT_EQ(rename_key("model.norm.w", "model.", PrefixChange::kRemove), "norm.w");
  EXPECT_EQ(rename_key("lm_head.w", "model.", PrefixChange::kRemove), "lm_head.w");
}

TEST(PrefixChange, LeavesNamesThatFit) {
  EXPECT_EQ(prefix_change("model.", {"model.norm.w"}, {"model.norm.w"}), PrefixChange::kNone);
  EXPECT_EQ(prefix_change("", {"norm.w"}, {"model.norm.w"}), PrefixChange::kNone);
}

TEST(WithoutMatching, DropsKeysThatAModelExpectsToMiss) {
  EXPECT_THAT(without_matching({"a.rotary_emb.inv_freq", "a.q"}, {R"(rotary_emb\.inv_freq)"}),
              ElementsAre("a.q"));
}

TEST(KeyReport, NamesTensorFileAndShapes) {
  KeyReport report;
  report.mismatched.push_back({"lm_head.weight", {3, 4}, {5, 4}, "model.safetensors"});
  EXPECT_FALSE(report.clean());
  EXPECT_THAT(report.text(),
              HasSubstr("lm_head.weight: model.safetensors has [3,4], the model needs [5,4]"));
}

TEST(KeyReport, ShowsTheFirstNamesOfMany) {
  KeyReport report;
  for (int i = 0; i < 20; ++i) report.missing.push_back("w" + std::to_string(i));
  EXPECT_THAT(report.text(), HasSubstr("20 missing from the checkpoint"));
  EXPECT_THAT(report.text(), HasSubstr("and 12 more"));
}

}  // namespace
}  // namespace quanthost

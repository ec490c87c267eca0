// Ids and texts equal those that PyPI `tokenizers` gave for the same tokenizers (make_goldens.py).
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <sstream>

#include "host/base/json.hpp"
#include "host/text/tokenizer.hpp"
#include "tests/folders.hpp"

namespace quanthost::text {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

Json golden_file(const std::string& name) {
  return parse_json(
      read(std::filesystem::path(test::source_folder()) / "tests/text/golden" / (name + ".json")),
      name);
}

class TokenizerGolden : public testing::TestWithParam<const char*> {
 protected:
  TokenizerGolden()
      : golden_(golden_file(GetParam())),
        texts_(golden_file("texts")),
        tokenizer_(Tokenizer::from_json(golden_["tokenizer"].dump(), GetParam())) {}

  // A text, what tokenizers made of it, and the text before, which is the other half of a pair.
  void for_each_case(
      const std::function<void(const std::string&, const Json&, const std::string&)>& check) const {
    const Json& cases = golden_["cases"];
    ASSERT_EQ(cases.size(), texts_.size());
    for (std::size_t i = 0; i < cases.size(); ++i)
      check(texts_[i], cases[i], texts_[(i + texts_.size() - 1) % texts_.size()]);
  }

  Json golden_;
  std::vector<std::string> texts_;
  Tokenizer tokenizer_;
};

TEST_P(TokenizerGolden, EncodesAsTheOriginalDoes) {
  for_each_case([&](const std::string& text, const Json& expected, const std::string& partner) {
    EXPECT_EQ(Json(tokenizer_.encode(text)), expected["ids"]) << text;
    EXPECT_EQ(Json(tokenizer_.encode(text, SpecialTokens::kOmit)),
              expected.value("bare", expected["ids"]))
        << text;
    if (expected.contains("pair")) {
      EXPECT_EQ(Json(tokenizer_.encode_pair(text, partner)), expected["pair"]) << text;
    }
  });
}

TEST_P(TokenizerGolden, DecodesAsTheOriginalDoes) {
  for_each_case([&](const std::string& text, const Json& expected, const std::string&) {
    const auto ids = expected["ids"].get<std::vector<TokenId>>();
    const std::string decoded = expected.value("decoded", text);
    EXPECT_EQ(tokenizer_.decode(ids), decoded);
    EXPECT_EQ(tokenizer_.decode(ids, SpecialTokens::kAdd), expected.value("shown", decoded));
  });
}

INSTANTIATE_TEST_SUITE_P(Kinds, TokenizerGolden,
                         testing::Values("gpt2", "roberta", "smollm2_like", "gpt_neox", "llama3",
                                         "llama2", "mistral", "gemma2", "bert", "t5",
                                         "unigram_bytes", "word_level", "openai_gpt",
                                         "prefixed_bpe"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace quanthost::text

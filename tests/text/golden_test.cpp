// Ids and texts equal those that PyPI `tokenizers` gave for the same tokenizers (make_goldens.py).
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "host/base/json.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::text {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

class TokenizerGolden : public testing::TestWithParam<const char*> {
 protected:
  TokenizerGolden()
      : golden_(parse_json(read(std::filesystem::path(QH_TEST_SOURCE_DIR) / "tests/text/golden" /
                                (std::string(GetParam()) + ".json")),
                           GetParam())),
        tokenizer_(Tokenizer::from_json(golden_["tokenizer"].dump(), GetParam())) {}

  Json golden_;
  Tokenizer tokenizer_;
};

TEST_P(TokenizerGolden, EncodesAsTheOriginalDoes) {
  for (const Json& expected : golden_["cases"]) {
    const auto text = expected["text"].get<std::string>();
    EXPECT_EQ(Json(tokenizer_.encode(text)), expected["ids"]) << text;
    EXPECT_EQ(Json(tokenizer_.encode(text, SpecialTokens::kOmit)), expected["bare"]) << text;
    EXPECT_EQ(Json(tokenizer_.encode_pair(text, expected["partner"].get<std::string>())),
              expected["pair"])
        << text;
  }
}

TEST_P(TokenizerGolden, DecodesAsTheOriginalDoes) {
  for (const Json& expected : golden_["cases"]) {
    const auto ids = expected["ids"].get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer_.decode(ids), expected["decoded"].get<std::string>());
    EXPECT_EQ(tokenizer_.decode(ids, SpecialTokens::kAdd), expected["shown"].get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, TokenizerGolden,
                         testing::Values("gpt2", "roberta", "smollm2_like", "gpt_neox", "llama3",
                                         "llama2", "mistral", "gemma2", "bert", "t5",
                                         "unigram_bytes", "word_level", "openai_gpt",
                                         "prefixed_bpe"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace quanthost::text

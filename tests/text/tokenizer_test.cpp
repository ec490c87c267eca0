#include "host/text/tokenizer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "host/base/error.hpp"
#include "tests/text/small_tokenizers.hpp"

namespace quanthost::text {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string load_error(const Json& json) {
  return error_of([&] { tokenizer_of(json); });
}

class Folder {
 public:
  Folder()
      : path_(std::filesystem::temp_directory_path() / ("qh_text_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  void write(const char* name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST(Tokenizer, MergesTheLowestRankFirst) {
  EXPECT_THAT(byte_level_tokenizer().encode("hello world \xC3\xA9\n"),
              ElementsAre(259, 260, 111, 114, 108, 100, 32, 195, 169, 10));
}

TEST(Tokenizer, AcceptsMergesAsPairsAndAsText) {
  Json json = byte_level_json();
  json["model"]["merges"] = Json::parse(R"([["h","e"],["l","l"],["he","ll"],["hell","o"]])");
  EXPECT_THAT(tokenizer_of(json).encode("hello"), ElementsAre(259));
}

TEST(Tokenizer, KnowsTokensIdsAndSpecialTokens) {
  const Tokenizer tokenizer = byte_level_tokenizer();
  EXPECT_EQ(tokenizer.id_of("hello"), 259);
  EXPECT_EQ(tokenizer.id_of("<|end|>"), 261);
  EXPECT_EQ(tokenizer.id_of("nothing"), std::nullopt);
  EXPECT_EQ(tokenizer.token_of(261), "<|end|>");
  EXPECT_EQ(tokenizer.token_of(-1), std::nullopt);
  EXPECT_TRUE(tokenizer.is_special(261));
  EXPECT_FALSE(tokenizer.is_special(259));
  EXPECT_EQ(tokenizer.vocab_size(), 262u);
}

TEST(Tokenizer, SkipsSpecialTokensAndUnknownIdsWhenDecoding) {
  const std::vector<TokenId> ids = {259, 261, 9999};
  EXPECT_EQ(byte_level_tokenizer().decode(ids), "hello");
  EXPECT_EQ(byte_level_tokenizer().decode(ids, SpecialTokens::kAdd), "hello<|end|>");
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const Tokenizer tokenizer = byte_level_tokenizer();
  for (const char* text :
       {"ab\xFF", "ab\xC3", "ab\xED\xA0\x80", "ab\xC0\x80", "ab\xF4\x90\x80\x80", "ab\x80"}) {
    EXPECT_THAT(error_of([&] { tokenizer.encode(text); }),
                AllOf(HasSubstr("not valid UTF-8"), HasSubstr("offset 2")));
  }
}

TEST(Tokenizer, NamesTheComponentItDoesNotKnow) {
  for (const char* part : {"normalizer", "pre_tokenizer", "post_processor", "decoder", "model"}) {
    Json json = byte_level_json();
    json[part] = {{"type", "Alien"}};
    EXPECT_THAT(load_error(json),
                AllOf(HasSubstr("tokenizer.json"), HasSubstr(part), HasSubstr("Alien")));
  }
}

TEST(Tokenizer, NamesTheComponentInsideASequence) {
  Json json = byte_level_json();
  json["normalizer"] = {{"type", "Sequence"},
                        {"normalizers", {{{"type", "NFC"}}, {{"type", "Alien"}}}}};
  EXPECT_THAT(load_error(json), HasSubstr("normalizer.normalizers[1]"));
}

TEST(Tokenizer, RefusesDropout) {
  Json json = byte_level_json();
  json["model"]["dropout"] = 0.1;
  EXPECT_THAT(load_error(json), HasSubstr("dropout"));
}

TEST(Tokenizer, RefusesMergesOfTokensThatAreNotThere) {
  Json json = byte_level_json();
  json["model"]["merges"].push_back("x nothing");
  EXPECT_THAT(load_error(json), AllOf(HasSubstr("merges[5]"), HasSubstr("nothing")));
}

TEST(Tokenizer, SaysWhichMergeIsNoPairOfTokens) {
  for (const Json& merge : {Json("a b c"), Json("ab"), Json({"a", "b", "c"}), Json(7), Json()}) {
    Json json = byte_level_json();
    json["model"]["merges"].push_back(merge);
    EXPECT_THAT(load_error(json), HasSubstr("model.merges[5]: needs two tokens")) << merge;
  }
}

TEST(Tokenizer, SaysWhichTokenHasNoId) {
  for (const Json& id : {Json(-1), Json(2147483648), Json("7"), Json(), Json::array()}) {
    Json json = byte_level_json();
    json["model"]["vocab"]["odd"] = id;
    EXPECT_THAT(load_error(json), HasSubstr("model.vocab: token \"odd\" needs an id")) << id;
  }
}

TEST(Tokenizer, TakesTheLastOfTwoFieldsWithOneName) {
  std::string json = byte_level_json().dump();
  const std::string model = R"("model":{"vocab":7,"merges":[["x","y"]],"vocab":{"x":1,"x":2})";
  json.insert(json.find("\"model\":"), model + "},");
  const Tokenizer tokenizer = Tokenizer::from_json(json, "tokenizer.json");
  EXPECT_EQ(tokenizer.encode("hello"), (std::vector<TokenId>{259}));
}

TEST(Tokenizer, GivesATokenNamedTwiceItsLastId) {
  std::string json = byte_level_json().dump();
  json.insert(json.find("\"vocab\":{") + 9, R"("hello":999,)");
  const Tokenizer tokenizer = Tokenizer::from_json(json, "tokenizer.json");
  EXPECT_EQ(tokenizer.id_of("hello"), 259);
  EXPECT_EQ(tokenizer.token_of(999), std::nullopt);
}

TEST(Tokenizer, KeepsEveryIdOfATokenThatStandsTwiceInAUnigramList) {
  const Json json = {{"version", "1.0"},
                     {"added_tokens", Json::array()},
                     {"model",
                      {{"type", "Unigram"},
                       {"unk_id", 0},
                       {"vocab", Json::parse(R"([["<unk>", 0.0], ["a", -1.0], ["<unk>", -2.0]])")},
                       {"byte_fallback", false}}}};
  const Tokenizer tokenizer = tokenizer_of(json);
  EXPECT_EQ(tokenizer.token_of(0), "<unk>");
  EXPECT_EQ(tokenizer.token_of(2), "<unk>");
  EXPECT_EQ(tokenizer.id_of("<unk>"), 2);
}

TEST(Tokenizer, RefusesATemplateWithATokenItDoesNotDefine) {
  Json json = byte_level_json();
  json["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}}}},
                            {"pair", Json::array()},
                            {"special_tokens", Json::object()}};
  EXPECT_THAT(load_error(json), HasSubstr("<s>"));
}

TEST(Tokenizer, StopsAPatternThatBacktracksForever) {
  Json json = byte_level_json();
  json["pre_tokenizer"] = {{"type", "Split"},
                           {"pattern", {{"Regex", "(a+)+$"}}},
                           {"behavior", "Isolated"},
                           {"invert", false}};
  const Tokenizer tokenizer = tokenizer_of(json);
  EXPECT_THAT(error_of([&] { tokenizer.encode(std::string(200, 'a') + "b"); }),
              HasSubstr("gave up"));
}

TEST(Tokenizer, EncodesFromManyThreadsAtOnce) {
  const Tokenizer tokenizer = byte_level_tokenizer();
  std::string text;
  for (int i = 0; i < 200; ++i) text += "hello world " + std::to_string(i * 7919) + " ";
  const auto expected = tokenizer.encode(text);
  std::vector<std::thread> threads;
  std::vector<int> same(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) same[t] += tokenizer.encode(text) == expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(same, ElementsAre(20, 20, 20, 20));
}

TEST(Tokenizer, CutsAtMetaspaceOnlyWhereNoMergeCrosses) {
  Json json = byte_level_json();
  const std::string mark = "\xE2\x96\x81";
  json["pre_tokenizer"] = nullptr;
  json["decoder"] = nullptr;
  json["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", mark}};
  json["model"] = {{"type", "BPE"},
                   {"vocab", {{mark, 0}, {"a", 1}, {"b", 2}, {mark + "a", 3}, {mark + "b", 4}}}};
  json["model"]["merges"] = {mark + " a", mark + " b"};
  EXPECT_THAT(tokenizer_of(json).encode("a a  b"), ElementsAre(1, 3, 0, 4));
  json["model"]["vocab"]["a" + mark] = 5;  // now ▁ also merges with what is before it
  json["model"]["merges"] = {"a " + mark, mark + " a", mark + " b"};
  EXPECT_THAT(tokenizer_of(json).encode("a a  b"), ElementsAre(5, 5, 4));
}

TEST(Tokenizer, ReadsVocabJsonWithMergesTxt) {
  const Folder folder;
  folder.write("vocab.json", byte_level_json()["model"]["vocab"].dump());
  folder.write("merges.txt", "#version: 0.2\nh e\nl l\r\nhe ll\nhell o\n");
  EXPECT_THAT(Tokenizer::load(folder.path()).encode("hello"), ElementsAre(259));
}

TEST(Tokenizer, PutsTheFirstTokenOfOlderFilesInFront) {
  const Folder folder;
  Json vocab = byte_level_json()["model"]["vocab"];
  vocab["</s>"] = 261;
  folder.write("vocab.json", vocab.dump());
  folder.write("merges.txt", "#version: 0.2\nh e\n");
  folder.write("tokenizer_config.json",
               R"({"bos_token": {"content": "</s>"}, "add_bos_token": true})");
  EXPECT_THAT(Tokenizer::load(folder.path()).encode("he"), ElementsAre(261, 256));
}

TEST(Tokenizer, ReadsVocabTxt) {
  const Folder folder;
  folder.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nhel\n##lo\n");
  const Tokenizer tokenizer = Tokenizer::load(folder.path());
  EXPECT_THAT(tokenizer.encode("H\xC3\xA9llo x"), ElementsAre(2, 4, 5, 1, 3));
  EXPECT_EQ(tokenizer.decode(std::vector<TokenId>{2, 4, 5, 3}), "hello");
}

TEST(Tokenizer, SaysWhatToDoInAFolderWithoutOne) {
  const Folder folder;
  EXPECT_THAT(error_of([&] { Tokenizer::load(folder.path()); }),
              AllOf(HasSubstr("no tokenizer"), HasSubstr("tokenizer.json")));
}

}  // namespace
}  // namespace quanthost::text

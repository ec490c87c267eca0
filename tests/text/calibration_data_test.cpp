#include "host/text/calibration_data.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/text/small_tokenizers.hpp"

namespace quanthost::text {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class CalibrationDataTest : public testing::Test {
 protected:
  ~CalibrationDataTest() override {
    for (const auto& path : written_) std::filesystem::remove(path);
  }

  std::string write(const std::string& name, const std::string& text) {
    const auto path = std::filesystem::temp_directory_path() / (std::to_string(getpid()) + name);
    std::ofstream(path, std::ios::binary) << text;
    written_.push_back(path);
    return path.string();
  }

  static std::string error_of(const std::string& file, std::size_t tokens) {
    try {
      CalibrationData(file, byte_level_tokenizer(), tokens).take(1);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  std::vector<std::filesystem::path> written_;
};

TEST_F(CalibrationDataTest, CutsATextIntoSamplesAndDropsTheRest) {
  CalibrationData data(write("a.txt", "abcdefgh"), byte_level_tokenizer(), 3);
  EXPECT_THAT(data.take(10), ElementsAre(ElementsAre('a', 'b', 'c'), ElementsAre('d', 'e', 'f')));
}

TEST_F(CalibrationDataTest, ReadsTextTokensAndBareLines) {
  const auto file =
      write("a.jsonl", "{\"text\": \"ab\"}\n\n{\"input_ids\": [259, 1]}\n\"c\"\n[2, 3]\n");
  CalibrationData data(file, byte_level_tokenizer(), 7);
  EXPECT_THAT(data.take(2), ElementsAre(ElementsAre('a', 'b', 259, 1, 'c', 2, 3)));
}

TEST_F(CalibrationDataTest, ReadsLongTextAsTheWholeTextWouldBeRead) {
  std::string text;
  for (int i = 0; text.size() < 3u << 20; ++i)
    text += "line " + std::to_string(i) + " h\xC3\xA9llo\n";
  const Tokenizer tokenizer = byte_level_tokenizer();
  const auto whole = tokenizer.encode(text);
  CalibrationData data(write("long.txt", text), tokenizer, 1000);
  const auto samples = data.take(SIZE_MAX);
  ASSERT_EQ(samples.size(), whole.size() / 1000);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    ASSERT_TRUE(std::equal(samples[i].begin(), samples[i].end(),
                           whole.begin() + static_cast<std::ptrdiff_t>(1000 * i)));
  }
}

TEST_F(CalibrationDataTest, NeverCutsACharacter) {
  std::string text;
  while (text.size() < (1u << 20) + 100)
    text += "\xE4\xB8\xAD";  // no line break, and 2^20 is no multiple of 3
  CalibrationData data(write("cjk.txt", text), byte_level_tokenizer(), 1000);
  EXPECT_EQ(data.take(SIZE_MAX).size(), text.size() / 1000);
}

TEST_F(CalibrationDataTest, ExplainsThatDataSetsAreNotDownloaded) {
  EXPECT_THAT(error_of("wikitext2", 8),
              AllOf(HasSubstr("wikitext2"), HasSubstr("not downloaded"), HasSubstr(".jsonl")));
  EXPECT_THAT(error_of("/no/such/file", 8), HasSubstr("no such file"));
}

TEST_F(CalibrationDataTest, NamesTheLineThatIsWrong) {
  EXPECT_THAT(error_of(write("b.jsonl", "{\"text\": \"a\"}\n{\"other\": 1}\n"), 8),
              AllOf(HasSubstr(":2"), HasSubstr("input_ids")));
  EXPECT_THAT(error_of(write("c.jsonl", "[1, 99999]\n"), 8),
              AllOf(HasSubstr(":1"), HasSubstr("99999")));
  EXPECT_THAT(error_of(write("d.jsonl", "{\n"), 8), HasSubstr(":1"));
  EXPECT_THAT(error_of(write("e.txt", "ab\xFF"), 8), AllOf(HasSubstr("e.txt"), HasSubstr("UTF-8")));
}

TEST_F(CalibrationDataTest, RefusesAFileShorterThanOneSample) {
  EXPECT_THAT(error_of(write("s.txt", "abc"), 8), AllOf(HasSubstr("3 tokens"), HasSubstr("8")));
}

}  // namespace
}  // namespace quanthost::text

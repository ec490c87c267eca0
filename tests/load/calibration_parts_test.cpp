// The parts of calibration, each alone: batches of data, activations in memory and on disk, and the
// journal.
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>

#include "host/load/calibration/activations.hpp"
#include "host/load/calibration/batches.hpp"
#include "host/load/calibration/journal.hpp"
#include "tests/load/load_fixture.hpp"

namespace quanthost {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class CalibrationParts : public LoadPipeline {
 protected:
  static text::Tokenizer no_tokenizer() {
    throw Error(ErrorKind::kInternal, "nobody needs a tokenizer here");
  }
  std::vector<CalibrationBatch> batches(const CalibrationDataRequest& request) {
    return read_calibration_batches(request, no_tokenizer);
  }
  static CalibrationDataRequest request(std::string dataset, std::uint64_t batch_size = 1,
                                        std::int64_t pad = -1) {
    CalibrationDataRequest out;
    out.dataset = std::move(dataset);
    out.batch_size = batch_size;
    out.pad_token_id = pad;
    out.vocabulary = 64;
    return out;
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> out;
    for (const auto& entry : fs::directory_iterator(folder_)) out.push_back(entry.path());
    return out;
  }
};

TEST_F(CalibrationParts, PadsTheSamplesOfABatchOnTheLeftAsOptimumDoes) {
  const auto read = batches(
      request(R"([{"input_ids": [1, 2, 3]}, {"input_ids": [[4]]}, {"input_ids": [5, 6]}])", 2, 9));
  ASSERT_EQ(read.size(), 2u);
  EXPECT_THAT(read[0][0].ids, ElementsAre(1, 2, 3));
  EXPECT_THAT(read[0][1].ids, ElementsAre(9, 9, 4));
  EXPECT_THAT(read[0][1].mask, ElementsAre(0, 0, 1));
  EXPECT_TRUE(read[0][1].padded());
  EXPECT_FALSE(read[0][0].padded());
  EXPECT_THAT(read[1][0].ids, ElementsAre(5, 6));
}

TEST_F(CalibrationParts, KeepsTheMaskThatADatasetGives) {
  const auto read = batches(request(R"([{"input_ids": [[1, 2]], "attention_mask": [[0, 1]]}])"));
  EXPECT_THAT(read[0][0].mask, ElementsAre(0, 1));
}

TEST_F(CalibrationParts, RefusesDataThatTheModelCannotTake) {
  const auto refused = [&](const CalibrationDataRequest& bad) {
    return std::string(error_of([&] { batches(bad); }).what());
  };
  EXPECT_THAT(refused(request("")), AllOf(HasSubstr("no dataset"), HasSubstr("give a file")));
  EXPECT_THAT(refused(request("null")), HasSubstr("no dataset"));
  EXPECT_THAT(refused(request("[]")), HasSubstr("holds no samples"));
  EXPECT_THAT(refused(request("{}")), HasSubstr("neither a path nor a list"));
  EXPECT_THAT(refused(request("[3]")), HasSubstr("sample 0: is number"));
  EXPECT_THAT(refused(request(R"([{"ids": [1]}])")), HasSubstr("has no \"input_ids\""));
  EXPECT_THAT(refused(request(R"([{"input_ids": [1, 64]}])")),
              HasSubstr("sample 0 holds the id 64, the model has 64 tokens"));
  EXPECT_THAT(refused(request(R"([{"input_ids": [1.5]}])")), HasSubstr("1.5 is not an integer"));
  EXPECT_THAT(refused(request(R"([{"input_ids": [1, 2], "attention_mask": [1]}])")),
              HasSubstr("different shapes"));
  EXPECT_THAT(refused(request(R"([{"input_ids": [1]}])", 2)), HasSubstr("no pad_token_id"));
  EXPECT_THAT(refused(request(R"([{"input_ids": [1]}])", 2, 64)), HasSubstr("pad_token_id is 64"));
  EXPECT_THAT(refused(request("wikitext2")),
              AllOf(HasSubstr("not downloaded by name"), HasSubstr("give a file")));
  EXPECT_THAT(refused(request("\"missing.txt\"")), HasSubstr("there is no such file"));
}

TEST_F(CalibrationParts, KeepsRowsBeyondTheBudgetInAFileThatHasNoName) {
  const fs::path offload = folder_ / "offload";
  Activations rows({400, 400, 800}, 500, offload);
  EXPECT_EQ(rows.bytes_in_memory(), 400u);
  EXPECT_EQ(rows.bytes_on_disk(), 1200u);
  EXPECT_TRUE(fs::is_empty(offload));
  for (const std::int64_t start : {0, 1000}) {  // a second round takes the same places
    for (std::int64_t row = 0; row < 3; ++row) {
      const std::int64_t count = row == 2 ? 200 : 100;
      rows.put(static_cast<std::size_t>(row),
               at::arange(start + row, start + row + count, at::kFloat).view({1, -1, 10}));
    }
    for (std::int64_t row = 0; row < 3; ++row) {
      const std::int64_t count = row == 2 ? 200 : 100;
      EXPECT_TRUE(
          at::equal(rows.get(static_cast<std::size_t>(row)),
                    at::arange(start + row, start + row + count, at::kFloat).view({1, -1, 10})));
    }
  }
}

TEST_F(CalibrationParts, AJournalGivesBackWhatWasWrittenAndNothingElse) {
  const fs::path directory = folder_ / "journal";
  const Json run = {{"data", "a"}, {"method", 1}};
  const at::Tensor value = at::arange(6, at::kInt).view({2, 3});
  {
    Journal journal(directory, run);
    EXPECT_FALSE(journal.resumed());
    journal.write("model.layers.0/weight", value);
    EXPECT_FALSE(journal.read("model.layers.1/weight"));
  }
  const Journal again(directory, run);
  EXPECT_TRUE(again.resumed());
  const auto kept = again.read("model.layers.0/weight");
  ASSERT_TRUE(kept);
  EXPECT_TRUE(at::equal(*kept, value));
}

TEST_F(CalibrationParts, AJournalOfAnotherRunIsRefusedWithThePartsThatDiffer) {
  const fs::path directory = folder_ / "journal";
  { const Journal journal(directory, {{"data", "a"}, {"method", 1}, {"model", 2}}); }
  const Error error = error_of([&] {
    const Journal journal(directory, {{"data", "b"}, {"method", 1}, {"model", 3}});
  });
  EXPECT_EQ(error.kind(), ErrorKind::kValue);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("another run: its data, model differ"),
                                  HasSubstr("remove the directory")));
}

TEST_F(CalibrationParts, AJournalIsNotPutAmongOtherFiles) {
  write_text_file(folder_ / "thesis.txt", "years of work");
  const Error error = error_of([&] { const Journal journal(folder_, Json::object()); });
  EXPECT_THAT(error.what(), HasSubstr("is no journal"));
  EXPECT_EQ(files().size(), 1u);
}

TEST_F(CalibrationParts, AJournalBeginsAgainWhereARunWasKilledBeforeItsHeadWasInPlace) {
  fs::create_directories(folder_ / "journal");
  write_text_file(folder_ / "journal/.journal.json.quanthost-new-0011aabb", "{");
  Journal journal(folder_ / "journal", Json::object());
  EXPECT_FALSE(journal.resumed());
  EXPECT_TRUE(fs::exists(folder_ / "journal/journal.json"));
}

TEST_F(CalibrationParts, AJournalServesOneRunAtATime) {
  const Journal first(folder_ / "journal", Json::object());
  const Error error = error_of([&] { const Journal second(folder_ / "journal", Json::object()); });
  EXPECT_THAT(error.what(), HasSubstr("another run is using this journal"));
}

TEST_F(CalibrationParts, ADamagedEntryOfAJournalIsNamed) {
  const fs::path directory = folder_ / "journal";
  Journal journal(directory, Json::object());
  journal.write("weight", at::arange(6, at::kInt));
  fs::resize_file(directory / "weight.safetensors", 20);
  const Error error = error_of([&] { journal.read("weight"); });
  EXPECT_THAT(error.what(), AllOf(HasSubstr("weight.safetensors"), HasSubstr("remove this file")));
}

}  // namespace
}  // namespace quanthost

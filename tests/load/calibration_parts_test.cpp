// The parts of calibration, each alone: batches of data, activations in memory and on disk, passes
// through a block, and the journal.
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>

#include "host/load/calibration/activations.hpp"
#include "host/load/calibration/batches.hpp"
#include "host/load/calibration/block_passes.hpp"
#include "host/load/calibration/journal.hpp"
#include "host/model/known_value.hpp"
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

// c(b(a(x))), which asks c for its output before it computes anything, as attention does.
class Chain : public model::Module {
 public:
  Chain() : Module("Chain") {
    a_ = add<model::Layer>("a", std::make_shared<Counted>(calls));
    b_ = add<model::Layer>("b", std::make_shared<Counted>(calls));
    c_ = add<model::Layer>("c", std::make_shared<Counted>(calls));
    for (const char* name : {"a", "b", "c"}) set_weight(name, 2);
  }
  at::Tensor run(const at::Tensor& x) {
    if (const at::Tensor known = model::output_without_input(*c_); known.defined()) return known;
    return (*c_)((*b_)((*a_)(x)));
  }
  void set_weight(const std::string& name, float value) {
    model::set_parameter(*this, name + ".weight", at::full({1, 1}, value));
  }
  int calls = 0;

 private:
  struct Counted : model::Linear {
    explicit Counted(int& calls) : Linear(1, 1, false, at::kFloat), calls_(calls) {}
    at::Tensor forward(const at::Tensor& x) override {
      ++calls_;
      return x * weight();
    }
    int& calls_;
  };
  model::Slot<model::Layer> a_, b_, c_;
};

TEST_F(CalibrationParts, APassComputesOnlyWhatAChangeTouches) {
  auto chain = std::make_shared<Chain>();
  MemoryBudget budget(1000);
  BlockPasses passes(*chain, "", {"a", "b", "c"}, 1, budget);
  const auto input_of = [&](const std::string& layer) {
    BlockPasses::Pass pass(passes, {layer});
    chain->calls = 0;
    return pass.run(0, [&] { chain->run(at::ones({1, 1})); }).front().item<float>();
  };
  const auto output = [&] {
    BlockPasses::Pass pass(passes, {});
    chain->calls = 0;
    at::Tensor out;
    pass.run(0, [&] { out = chain->run(at::ones({1, 1})); });
    return out.item<float>();
  };
  EXPECT_EQ(input_of("a"), 1);
  EXPECT_EQ(chain->calls, 0) << "it ends where the input is captured";
  chain->set_weight("a", 3);
  EXPECT_EQ(input_of("b"), 3);
  EXPECT_EQ(chain->calls, 1);
  chain->set_weight("b", 5);
  EXPECT_EQ(input_of("c"), 15);
  EXPECT_EQ(chain->calls, 1) << "a is known, b has changed";
  EXPECT_EQ(input_of("c"), 15);
  EXPECT_EQ(chain->calls, 0);
  chain->set_weight("a", 7);
  EXPECT_EQ(input_of("c"), 35);
  EXPECT_EQ(chain->calls, 2) << "what came from a is not known any more";
  chain->set_weight("c", 4);
  EXPECT_EQ(output(), 140);
  EXPECT_EQ(chain->calls, 1) << "the input of c is known";
  EXPECT_EQ(output(), 140);
  EXPECT_EQ(chain->calls, 3) << "the last pass gives up what is known";
}

TEST_F(CalibrationParts, APassKeepsNoMoreThanItsBudget) {
  auto chain = std::make_shared<Chain>();
  MemoryBudget budget(6);  // bytes: one output, not two
  {
    BlockPasses passes(*chain, "", {"a", "b", "c"}, 1, budget);
    for (const int calls : {2, 1}) {
      BlockPasses::Pass pass(passes, {"c"});
      chain->calls = 0;
      pass.run(0, [&] { chain->run(at::ones({1, 1})); });
      EXPECT_EQ(chain->calls, calls);
    }
  }
  EXPECT_TRUE(budget.take(6)) << "all of it was given back";
  EXPECT_FALSE(budget.take(1));
}

TEST_F(CalibrationParts, LayersOfTheSameTensorShareItAfterTheFirstRow) {
  struct Pair : Chain {
    at::Tensor run(const at::Tensor& x) {
      const auto call = [&](const char* name) {
        return (*dynamic_cast<model::Layer*>(model::find_module(*this, name)))(x);
      };
      const at::Tensor first = call("b");
      return first + call("a");
    }
  };
  auto pair = std::make_shared<Pair>();
  MemoryBudget budget(0);
  BlockPasses passes(*pair, "", {"a", "b", "c"}, 2, budget);
  BlockPasses::Pass pass(passes, {"a", "b"});
  const auto first = pass.run(0, [&] { pair->run(at::full({1, 1}, 4)); });
  EXPECT_EQ(pair->calls, 1);
  pass.learn_sharing(first);
  const auto second = pass.run(1, [&] { pair->run(at::full({1, 1}, 5)); });
  EXPECT_EQ(pair->calls, 1) << "nothing more was computed";
  EXPECT_EQ(second[0].item<float>(), 5);
  EXPECT_EQ(second[1].item<float>(), 5);
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

// A quantizer of the calibrated kind leads real (small) models through the host's calibration.
#include <ATen/Parallel.h>

#include <fstream>
#include <thread>

#include "tests/load/load_fixture.hpp"

namespace quanthost {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kTwoSamples =
    R"(dataset=[{"input_ids": [1, 2, 3, 4, 5, 6]}, {"input_ids": [[7, 8, 9, 10]]}])";

class Calibration : public LoadPipeline {
 protected:
  LoadOptions calibrating(const fs::path& checkpoint, std::vector<std::string> settings) {
    settings.push_back("log=" + log().string());
    LoadOptions out = options(checkpoint);
    out.quantization = user_quantization("calibrating", settings);
    return out;
  }
  fs::path log() const { return folder_ / "calls.log"; }

  std::vector<std::string> calls(const std::string& beginning = "") const {
    std::vector<std::string> out;
    std::ifstream file(log());
    for (std::string line; std::getline(file, line);)
      if (line.starts_with(beginning)) out.push_back(line);
    return out;
  }
  std::vector<std::string> dumped_settings(std::vector<std::string> settings, const char* folder) {
    fs::create_directories(folder_ / folder);
    settings.push_back("dump=" + (folder_ / folder).string());
    return settings;
  }
  std::map<std::string, std::string> dumped(const char* folder) const {
    std::map<std::string, std::string> out;
    for (const auto& entry : fs::directory_iterator(folder_ / folder))
      out[entry.path().filename().string()] = read_text_file(entry.path());
    return out;
  }
};

TEST_F(Calibration, CallsTheLifeCycleOfACalibratedMethod) {
  { load_model(plugins(), calibrating(kGoldens / "opt", {kTwoSamples})); }
  const auto all = calls();
  ASSERT_GT(all.size(), 12u);
  const std::string first = "model.decoder.layers.0.";
  EXPECT_THAT(std::vector(all.begin(), all.begin() + 9),
              ElementsAre("create", AllOf(HasSubstr("validate_environment optimum=")),
                          "process_before_load", "process_after_load", "open",
                          "block model.decoder.layers.0 layers=6",
                          "input " + first + "self_attn.k_proj [6, 32] batch=0 samples=1",
                          "input " + first + "self_attn.k_proj [4, 32] batch=1 samples=1",
                          "quantized " + first + "self_attn.k_proj"));
  EXPECT_THAT(calls("advance"), ElementsAre("advance 0", "advance 1"));
  EXPECT_EQ(all.back(), "destroy");
}

TEST_F(Calibration, GivesTheSameInputsForAnyNumberOfThreads) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer does not see that OpenMP's threads wait for each other";
#endif
  const int before = at::get_num_threads();
  for (const auto& [threads, folder] : {std::pair{1, "one"}, {2, "two"}, {5, "five"}}) {
    at::set_num_threads(threads);
    load_model(plugins(),
               calibrating(kGoldens / "mixtral", dumped_settings({kTwoSamples}, folder)));
  }
  at::set_num_threads(before);
  EXPECT_FALSE(dumped("one").empty());
  EXPECT_EQ(dumped("one"), dumped("two"));
  EXPECT_EQ(dumped("one"), dumped("five"));
}

// As the stopped run left it, the journal leads the next run past what is done to the same model.
TEST_F(Calibration, GoesOnWhereAnInterruptedRunStoppedWithTheSameResult) {
  const std::string journal = "journal=" + (folder_ / "journal").string();
  const std::string stop = "model.layers.1.mlp.gate_proj";
  const auto weights = [](LoadedModel& loaded) {
    std::vector<at::Tensor> out;
    for (const ModelTensor& tensor : loaded.context->tensors())
      out.push_back(loaded.context->get_param(tensor.name));
    return out;
  };
  LoadedModel whole = load_model(plugins(), calibrating(kGoldens / "llama", {kTwoSamples}));
  const std::string marker = (folder_ / "stop").string();
  write_text_file(marker, stop);
  const auto settings = std::vector<std::string>{kTwoSamples, journal, "stop_file=" + marker};
  const Error stopped =
      error_of([&] { load_model(plugins(), calibrating(kGoldens / "llama", settings)); });
  EXPECT_THAT(stopped.what(), AllOf(HasSubstr("test.calibrating"), HasSubstr("stopped as told")));
  fs::remove(marker);
  fs::remove(log());
  LoadedModel resumed = load_model(plugins(), calibrating(kGoldens / "llama", settings));
  EXPECT_EQ(calls("resumed").size(), 11u);  // seven layers of the first block, four of the second
  EXPECT_THAT(calls("quantized"), ElementsAre("quantized model.layers.1.mlp.gate_proj",
                                              "quantized model.layers.1.mlp.up_proj",
                                              "quantized model.layers.1.mlp.down_proj"));
  const auto wanted = weights(whole), got = weights(resumed);
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(at::equal(got[i], wanted[i]));
}

TEST_F(Calibration, RefusesAJournalMadeWithOtherData) {
  const std::string journal = "journal=" + (folder_ / "journal").string();
  load_model(plugins(), calibrating(kGoldens / "llama", {kTwoSamples, journal}));
  const Error error = error_of([&] {
    load_model(plugins(),
               calibrating(kGoldens / "llama", {R"(dataset=[{"input_ids": [1, 2, 3]}])", journal}));
  });
  EXPECT_THAT(error.what(), AllOf(HasSubstr("the journal belongs to another run"),
                                  HasSubstr("data"), HasSubstr("journal.json")));
}

// The journal's place is an option like the others, and no part of what results depend on.
TEST_F(Calibration, TakesAJournalThatWasMovedElsewhere) {
  const auto with = [&](const char* name) {
    return calibrating(kGoldens / "llama", {kTwoSamples, "journal=" + (folder_ / name).string()});
  };
  load_model(plugins(), with("journal"));
  fs::rename(folder_ / "journal", folder_ / "moved");
  fs::remove(log());
  load_model(plugins(), with("moved"));
  EXPECT_EQ(calls("resumed").size(), 14u);
}

// The journal belongs to the tensors, not to the files that hold them.
TEST_F(Calibration, TakesAJournalForACopyOfTheModelInOtherFiles) {
  const auto with = [&](const fs::path& model) {
    return calibrating(model, {kTwoSamples, "journal=" + (folder_ / "journal").string()});
  };
  const fs::path model = deep_llama(2, std::uint64_t{1} << 30);
  load_model(plugins(), with(model));
  const fs::path copy = folder_ / "copy";
  fs::rename(model, copy);
  fs::last_write_time(copy / "model.safetensors", fs::file_time_type::clock::now());
  fs::remove(log());
  load_model(plugins(), with(copy));
  EXPECT_EQ(calls("resumed").size(), 14u);

  const fs::path sharded = deep_llama(2, std::uint64_t{32} << 10);
  ASSERT_FALSE(fs::exists(sharded / "model.safetensors"));
  fs::remove(log());
  load_model(plugins(), with(sharded));
  EXPECT_EQ(calls("resumed").size(), 14u);
}

TEST_F(Calibration, RefusesTheJournalOfAModelWithOtherWeights) {
  const fs::path model = copy_of("llama");
  const auto with_journal =
      calibrating(model, {kTwoSamples, "journal=" + (folder_ / "journal").string()});
  load_model(plugins(), with_journal);
  const fs::path file = model / "model.safetensors";
  const auto written = fs::last_write_time(file);
  std::string content = read_text_file(file);
  content.back() ^= 1;  // one bit, and the same size and time as before
  write_text_file(file, content);
  fs::last_write_time(file, written);
  const Error error = error_of([&] { load_model(plugins(), with_journal); });
  EXPECT_THAT(error.what(), AllOf(HasSubstr("the journal belongs to another run"),
                                  HasSubstr("its model differs")));
  LoadOptions half = with_journal;
  content.back() ^= 1;
  write_text_file(file, content);
  half.dtype = "float16";
  EXPECT_THAT(error_of([&] { load_model(plugins(), half); }).what(),
              HasSubstr("its model differs"));
}

// Where memory is left, outputs of one pass are used again in the next ones: the same inputs.
TEST_F(Calibration, GivesTheSameInputsWhenActivationsAreOnDisk) {
  for (const std::string golden : {"gpt2", "llama", "mixtral"}) {
    SCOPED_TRACE(golden);
    const std::string memory = golden + "-memory", disk = golden + "-disk";
    load_model(plugins(),
               calibrating(kGoldens / golden, dumped_settings({kTwoSamples}, memory.c_str())));
    LoadOptions limited =
        calibrating(kGoldens / golden, dumped_settings({kTwoSamples}, disk.c_str()));
    const double model = load_model(plugins(), options(kGoldens / golden)).stats.model_bytes;
    limited.max_memory = MemoryLimits{{"cpu", model + 500}};  // less than one row of activations
    limited.offload_folder = folder_ / (golden + "-offload");
    load_model(plugins(), limited);
    EXPECT_TRUE(fs::exists(limited.offload_folder));  // it was used, and nothing is left in it
    EXPECT_TRUE(fs::is_empty(limited.offload_folder));
    EXPECT_FALSE(dumped(disk.c_str()).empty());
    EXPECT_EQ(dumped(disk.c_str()), dumped(memory.c_str()));
  }
}

TEST_F(Calibration, HandsOverABatchAsOneInput) {
  load_model(plugins(),
             calibrating(kGoldens / "llama", {kTwoSamples, "batch_size=2", "pad_token_id=0"}));
  EXPECT_THAT(calls("input model.layers.0.self_attn.q_proj"),
              ElementsAre("input model.layers.0.self_attn.q_proj [12, 32] batch=0 samples=2"));
}

TEST_F(Calibration, ShowsTheInputsOfAllLayersInOneRunOfTheBlock) {
  load_model(plugins(), calibrating(kGoldens / "llama", {kTwoSamples, "together=true"}));
  const auto inputs = calls("input model.layers.0.");
  ASSERT_EQ(inputs.size(), 14u);
  EXPECT_THAT(inputs[6], HasSubstr("down_proj [6, 48] batch=0"));
  EXPECT_THAT(inputs[7], HasSubstr("q_proj [4, 32] batch=1"));
}

// The inputs of a run that changes nothing are those of the original model.
TEST_F(Calibration, ShowsWhatTheOriginalModelGivesALayerBesideTheQuantizedOne) {
  const auto run = [&](std::vector<std::string> more, const char* folder) {
    more.push_back(kTwoSamples);
    load_model(plugins(),
               calibrating(kGoldens / "llama", dumped_settings(std::move(more), folder)));
    return dumped(folder);
  };
  const auto untouched = run({"keep_weights=true"}, "untouched");
  const auto quantized = run({}, "quantized");
  const auto both = run({"original=true"}, "both");
  const auto together = run({"original=true", "together=true"}, "together");
  EXPECT_EQ(both.size(), 2 * untouched.size());
  EXPECT_EQ(together.size(), both.size());
  std::size_t drifted = 0;
  for (const auto& [name, values] : untouched) {
    const std::string original = name.substr(0, name.rfind(".f32")) + ".original.f32";
    EXPECT_EQ(both.at(original), values) << name;
    EXPECT_EQ(together.at(original), values) << name;
    EXPECT_EQ(both.at(name), quantized.at(name)) << "looking at both changes nothing: " << name;
    drifted += values != quantized.at(name);
  }
  EXPECT_GT(drifted, untouched.size() / 2);
}

// Rounding moves tokens to other experts.
TEST_F(Calibration, SaysWhereTheOriginalModelGivesALayerOtherTokens) {
  load_model(plugins(), calibrating(kGoldens / "mixtral",
                                    dumped_settings({kTwoSamples, "original=true"}, "inputs")));
  for (const std::string& line : calls("other tokens"))
    EXPECT_THAT(line, HasSubstr("experts")) << "attention sees every token";
  EXPECT_FALSE(calls("other tokens").empty());
  EXPECT_TRUE(dumped("inputs").contains("model.layers.1.self_attn.q_proj.0.original.f32"));
}

TEST_F(Calibration, StopsWhenAnotherThreadCancels) {
  CancelToken cancel;
  std::thread other([&] {
    while (calls("input").empty()) std::this_thread::yield();
    cancel.cancel();
  });
  LoadOptions endless = calibrating(deep_llama(60, 1 << 20), {kTwoSamples});
  endless.cancel = &cancel;
  const Error error = error_of([&] { load_model(plugins(), endless); });
  other.join();
  EXPECT_EQ(error.kind(), ErrorKind::kCancelled);
  EXPECT_EQ(calls().back(), "destroy");
}

TEST_F(Calibration, RefusesWhatCannotBeCalibrated) {
  const auto refused = [&](const char* golden, std::vector<std::string> settings) {
    return std::string(error_of([&] {
                         load_model(plugins(), calibrating(kGoldens / golden, std::move(settings)));
                       }).what());
  };
  EXPECT_THAT(refused("vit", {kTwoSamples}), HasSubstr("only text models can be calibrated"));
  EXPECT_THAT(refused("llama", {}), HasSubstr("no dataset is given"));
  EXPECT_THAT(refused("llama", {"dataset=c4"}), HasSubstr("not downloaded by name"));
  EXPECT_THAT(refused("llama", {"dataset=[one, two]"}), HasSubstr("holds no tokenizer"));
  EXPECT_THAT(refused("llama", {"dataset=[one, two]", "tokenizer=HuggingFaceTB/SmolLM2"}),
              AllOf(HasSubstr("no such directory"), HasSubstr("nothing is downloaded by name")));
  EXPECT_THAT(refused("llama", {kTwoSamples, "block=model.blocks"}),
              HasSubstr("model.blocks is not this model's list of blocks, which is model.layers"));
  const Json long_sample = Json::array({{{"input_ids", std::vector<int>(129, 1)}}});
  EXPECT_THAT(refused("gpt2", {"dataset=" + long_sample.dump()}),
              HasSubstr("a sample has 129 tokens, the model has 128 positions"));
}

}  // namespace
}  // namespace quanthost

// What a plugin sees of a load, call by call, and what remains when a load fails or is stopped.
#include <cstdio>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "tests/load/file_transfers.hpp"
#include "tests/load/load_fixture.hpp"

namespace quanthost {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int kDeepLayers = 12;  // 111 tensors
constexpr int kManyLayers = 33;  // 300 tensors
constexpr int kMoments = 50;
constexpr std::uint64_t kDeepShardBytes = 64 << 10;  // several shards

class RecordedLoad : public LoadPipeline {
 protected:
  LoadOptions recorded(const fs::path& checkpoint, const std::string& more = "") {
    std::vector<std::string> settings{"log=" + log().string()};
    if (!more.empty()) settings.push_back(more);
    LoadOptions out = options(checkpoint);
    out.quantization = user_quantization("recording", settings);
    return out;
  }
  fs::path log() const { return folder_ / "calls.log"; }

  std::vector<std::string> calls() const {
    std::vector<std::string> out;
    std::ifstream file(log());
    for (std::string line; std::getline(file, line);) out.push_back(line);
    return out;
  }
  static std::string slot_of(const std::string& call) { return call.substr(0, call.find(' ')); }
  std::vector<std::string> calls_of(const std::string& slot) const {
    std::vector<std::string> out;
    for (const std::string& call : calls())
      if (slot_of(call) == slot) out.push_back(call);
    return out;
  }
  // The calls in order; of a slot that is called once a tensor, its name at its first call.
  std::vector<std::string> life_cycle() const {
    const std::set<std::string> many{"param_element_size", "check_quantized_param",
                                     "row_granularity", "create_quantized_param", "module.destroy"};
    std::vector<std::string> out;
    for (const std::string& call : calls()) {
      const std::string slot = slot_of(call);
      if (!many.contains(slot)) {
        out.push_back(call);
      } else if (std::find(out.begin(), out.end(), slot) == out.end()) {
        out.push_back(slot);
      }
    }
    return out;
  }

  // Everything that the quantizer made is gone, the quantizer last.
  void expect_all_released(std::size_t layers) const {
    EXPECT_EQ(calls_of("module.destroy").size(), layers);
    EXPECT_EQ(calls().back(), "destroy");
  }
};

TEST_F(RecordedLoad, CallsInTransformersOrderWhenQuantizing) {
  { const LoadedModel loaded = load_model(plugins(), recorded(kGoldens / "llama")); }
  EXPECT_THAT(
      life_cycle(),
      ElementsAre("create pre_quantized=0", "validate_environment map=none inferred=0",
                  "update_torch_dtype none", "update_device_map none",
                  "process_before_load {} keep_in_fp32=0", "adjust_target_dtype float32",
                  "get_special_dtypes_update float32", "param_element_size",
                  "check_quantized_param", "row_granularity", "update_expected_keys 35 loaded=21",
                  "update_missing_keys 14 prefix=model", "update_unexpected_keys 0 prefix=model",
                  "create_quantized_param", "process_after_load", "module.destroy", "destroy"));
}

TEST_F(RecordedLoad, CallsInTransformersOrderWhenPreQuantized) {
  {
    LoadedModel first = load_model(plugins(), recorded(kGoldens / "llama"));
    save_model(first, folder_ / "stored");
  }
  fs::remove(log());
  { const LoadedModel loaded = load_model(plugins(), options(folder_ / "stored")); }
  EXPECT_THAT(
      life_cycle(),
      ElementsAre("create pre_quantized=1", "validate_environment map=none inferred=0",
                  "update_torch_dtype none", "update_device_map none",
                  "process_before_load {} keep_in_fp32=0", "adjust_target_dtype float32",
                  "get_special_dtypes_update float32", "param_element_size",
                  "check_quantized_param", "update_expected_keys 35 loaded=35",
                  "update_missing_keys 0 prefix=model", "update_unexpected_keys 0 prefix=model",
                  "create_quantized_param", "process_after_load", "module.destroy", "destroy"));
}

TEST_F(RecordedLoad, ValidatesTheInferredMapAfterMemoryAndSizesWereAsked) {
  LoadOptions mapped = recorded(kGoldens / "llama");
  mapped.device_map = parse_device_map("auto", "cuda");
  mapped.max_memory = MemoryLimits{{"cpu", 1e9}};
  { const LoadedModel loaded = load_model(plugins(), mapped); }
  EXPECT_THAT(calls_of("validate_environment"),
              ElementsAre("validate_environment map=none inferred=0",
                          "validate_environment map={:cpu} inferred=1"));
  const std::vector<std::string> all = life_cycle();
  const auto sizes = std::find(all.begin(), all.end(), "param_element_size");
  ASSERT_NE(sizes, all.end());
  EXPECT_THAT(std::vector<std::string>(sizes, sizes + 4),
              ElementsAre("param_element_size", "adjust_max_memory 1",
                          "validate_environment map={:cpu} inferred=1", "check_quantized_param"));
}

TEST_F(RecordedLoad, CreatesEachParameterOnceInFileOrderOnItsDevice) {
  const LoadedModel loaded = load_model(plugins(), recorded(kGoldens / "llama"));
  std::vector<std::string> wanted;
  for (const TensorPlan& plan : loaded.plan) {
    const std::int64_t rows = plan.stored->shape()[0];
    if (plan.quantized)
      wanted.push_back(
          fmt::format("create_quantized_param {} rows=0+{}/{} on cpu", plan.name, rows, rows));
  }
  EXPECT_EQ(wanted.size(), 14u);
  EXPECT_EQ(calls_of("create_quantized_param"), wanted);
}

TEST_F(RecordedLoad, NamesPluginTensorAndFileWhenTheFiftySeventhOf300TensorsFails) {
  const fs::path deep = deep_llama(kManyLayers, kDeepShardBytes);
  std::string name, file;
  {
    const LoadedModel planned = plan_load(plugins(), recorded(deep));
    ASSERT_EQ(planned.plan.size(), 300u);
    std::size_t at = 56;
    while (!planned.plan.at(at).quantized) ++at;
    name = planned.plan[at].name;
    file = planned.plan[at].stored->file().path().filename().string();
  }
  fs::remove(log());
  const Error error = error_of([&] { load_model(plugins(), recorded(deep, "fail_at=" + name)); });
  EXPECT_EQ(error.kind(), ErrorKind::kRuntime);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("test.recording"), HasSubstr(name), HasSubstr(file),
                                  HasSubstr("this parameter was to fail")));
  expect_all_released(kManyLayers * 7);
}

TEST_F(RecordedLoad, NamesThePluginThatAnswersWithAStatusOfNoMeaning) {
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  const Error error = error_of(
      [&] { load_model(plugins(), recorded(kGoldens / "llama", "wrong_status_at=" + name)); });
  EXPECT_THAT(error.what(), AllOf(HasSubstr("test.recording"), HasSubstr(name), HasSubstr("4242")));
  expect_all_released(14);
}

TEST_F(RecordedLoad, NamesAShardThatIsMissing) {
  const fs::path deep = deep_llama(kDeepLayers, kDeepShardBytes);
  std::set<fs::path> shards;
  for (const auto& entry : fs::directory_iterator(deep))
    if (entry.path().extension() == ".safetensors") shards.insert(entry.path());
  ASSERT_GT(shards.size(), 2u);
  const fs::path lost = *std::next(shards.begin());
  fs::remove(lost);
  const Error error = error_of([&] { load_model(plugins(), recorded(deep)); });
  EXPECT_EQ(error.kind(), ErrorKind::kOs);
  EXPECT_THAT(error.what(), HasSubstr(lost.filename().string()));
}

TEST_F(RecordedLoad, NamesAShardThatIsTruncated) {
  const fs::path deep = deep_llama(kDeepLayers, kDeepShardBytes);
  fs::path cut;
  for (const auto& entry : fs::directory_iterator(deep))
    if (entry.path().extension() == ".safetensors" && (cut.empty() || cut < entry.path()))
      cut = entry.path();
  fs::resize_file(cut, fs::file_size(cut) - 1);
  const Error error = error_of([&] { load_model(plugins(), recorded(deep)); });
  EXPECT_THAT(error.what(), HasSubstr(cut.filename().string()));
}

TEST_F(RecordedLoad, NamesTensorAndFileOfAReadErrorInTheMiddleAndReleasesEverything) {
  const fs::path deep = deep_llama(kDeepLayers, std::uint64_t{1} << 30);
  const LoadOptions how = recorded(deep);
  {
    LoadedModel loaded = plan_load(plugins(), how);
    const fs::path file = deep / "model.safetensors";
    fs::resize_file(file, fs::file_size(file) / 2);  // behind the back of the open checkpoint
    const Error error = error_of([&] { run_load(loaded, how); });
    EXPECT_THAT(error.what(), AllOf(HasSubstr("tensor "), HasSubstr("model.safetensors")));
  }
  const std::size_t created = calls_of("create_quantized_param").size();
  EXPECT_GT(created, 0u);
  EXPECT_LT(created, kDeepLayers * 7u);
  expect_all_released(kDeepLayers * 7);
}

TEST_F(RecordedLoad, LeavesNothingBehindWhereverItIsCancelled) {
  const fs::path deep = deep_llama(kDeepLayers, kDeepShardBytes);
  const fs::path out = folder_ / "outputs";
  fs::create_directories(out);
  const auto quantize = [&](const CancelToken& cancel) {
    LoadOptions how = recorded(deep);
    how.cancel = &cancel;
    how.stream.queue_bytes = 8 << 10;  // a tensor or two: parameters are made while others are read
    LoadedModel loaded = load_model(plugins(), how);
    SaveOptions save;
    save.cancel = &cancel;
    save_model(loaded, out / "model", save);
  };
  int transfers = 0;  // the moments: before each
  {
    const WatchedTransfers watched(folder_, [&](Transfer) { return ++transfers, 0; });
    quantize(CancelToken());
  }
  std::mt19937 random(6);
  std::uniform_int_distribution<int> moment(0, transfers - 1);
  int stopped = 0, loading = 0, saving = 0;
  for (int round = 0; round < kMoments; ++round) {
    fs::remove_all(out / "model");
    fs::remove(log());
    CancelToken cancel;
    const StopAtTransfer stop(folder_, cancel, moment(random));
    try {
      quantize(cancel);
      EXPECT_TRUE(fs::exists(out / "model/config.json"));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCancelled) << error.what();
      EXPECT_TRUE(fs::is_empty(out)) << "round " << round;
      ++stopped;
      saving += stop.wrote();
      loading += !stop.wrote() && !calls_of("create_quantized_param").empty();
    }
    EXPECT_EQ(calls_of("create").size(), calls_of("destroy").size());
    if (!calls_of("process_before_load").empty()) expect_all_released(kDeepLayers * 7);
  }
  // The others: headers were read only, or all was written and flushed.
  EXPECT_GT(loading + saving, kMoments * 3 / 4);
  EXPECT_GT(loading, kMoments / 10);
  EXPECT_GT(saving, kMoments / 5);
  std::printf("%d moments of %d transfers: %d stopped, %d between parameters, %d while saving\n",
              kMoments, transfers, stopped, loading, saving);
}

TEST_F(RecordedLoad, RefusesALayerOfAnotherShapeThanTheOneItReplaces) {
  const std::string name = "model.layers.1.mlp.up_proj";
  const Error error = error_of(
      [&] { plan_load(plugins(), recorded(kGoldens / "llama", "wrong_shape_at=" + name)); });
  EXPECT_EQ(error.kind(), ErrorKind::kValue);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("test.recording"), HasSubstr(name),
                                  HasSubstr("RecordedLinear has shape")));
  EXPECT_EQ(calls_of("create").size(), calls_of("destroy").size());
}

TEST_F(RecordedLoad, RefusesADenseWeightOfAnotherShapeThanTheLayers) {
  const std::string name = "model.layers.1.mlp.up_proj";
  LoadedModel loaded =
      load_model(plugins(), recorded(kGoldens / "llama", "wrong_dense_at=" + name));
  const Error error = error_of([&] { dequantize_model(loaded, to_qh_dtype(at::kFloat)); });
  EXPECT_EQ(error.kind(), ErrorKind::kValue);
  EXPECT_THAT(error.what(),
              AllOf(HasSubstr("test.recording"), HasSubstr(name), HasSubstr("shape [2,3]")));
}

TEST_F(RecordedLoad, LeavesNoOutputWhenThePluginFails) {
  const fs::path out = folder_ / "outputs";
  fs::create_directories(out);
  error_of([&] {
    LoadedModel loaded = load_model(
        plugins(), recorded(kGoldens / "llama", "fail_at=model.layers.1.mlp.up_proj.weight"));
    save_model(loaded, out / "model");
  });
  EXPECT_TRUE(fs::is_empty(out));
}

TEST_F(RecordedLoad, GivesTheSameModelsFromTwoThreadsAsOneAfterTheOther) {
  const fs::path deep = deep_llama(kDeepLayers, kDeepShardBytes);
  LoadOptions absmax = options(deep, "absmax8");
  LoadOptions recording = recorded(deep);
  absmax.trace = recording.trace = nullptr;
  const auto quantize = [&](const LoadOptions& how, const char* name) {
    LoadedModel loaded = load_model(plugins(), how);
    save_model(loaded, folder_ / name);
  };
  quantize(absmax, "absmax");
  quantize(recording, "recording");
  for (int round = 0; round < 5; ++round) {
    std::thread other([&] { quantize(recording, "recording_at_once"); });
    quantize(absmax, "absmax_at_once");
    other.join();
    for (const char* file : {"model.safetensors", "config.json"}) {
      for (const char* name : {"absmax", "recording"}) {
        EXPECT_EQ(read_text_file(folder_ / name / file),
                  read_text_file(folder_ / (std::string(name) + "_at_once") / file))
            << name << " " << file;
      }
    }
  }
}

}  // namespace
}  // namespace quanthost

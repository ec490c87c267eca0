// The C++ API against libquanthost.so, as an application links it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <quanthost/host.hpp>
#include <set>
#include <thread>

#include "tests/api/tiny_host.hpp"
#include "tests/error_of.hpp"

namespace {

namespace fs = std::filesystem;
using namespace quanthost;

using quanthost::test::host_options;

const fs::path kModel = quanthost::test::tiny_model();

LoadOptions with_method(const std::string& method) {
  LoadOptions options;
  options.method = method;
  return options;
}

class HostApi : public ::testing::Test {
 protected:
  void SetUp() override {
    scratch_ = fs::temp_directory_path() / ("quanthost-api-" + std::to_string(::getpid()));
    fs::remove_all(scratch_);
    fs::create_directories(scratch_);
  }
  void TearDown() override { fs::remove_all(scratch_); }

  fs::path scratch_;
  Host host_{host_options()};
};

GenerateOptions greedy(std::int64_t tokens) {
  GenerateOptions options;
  options.greedy = true;
  options.max_new_tokens = tokens;
  return options;
}

TEST_F(HostApi, ListsPluginsAndMethodsWithoutOpeningThem) {
  bool found = false;
  for (const PluginInfo& plugin : host_.plugins()) found |= plugin.id == "org.example.absmax8";
  EXPECT_TRUE(found);
  for (const MethodInfo& method : host_.methods()) {
    if (method.name != "absmax8") continue;
    EXPECT_EQ(method.plugin, "org.example.absmax8");
    EXPECT_FALSE(method.quant_method.empty());
  }
  EXPECT_EQ(host_.search_path().front().origin, "--plugin-path");
}

TEST_F(HostApi, LoadsQuantizesSavesAndLoadsAgainTheSameModel) {
  Model first = host_.load(kModel, with_method("absmax8"));
  EXPECT_EQ(first.info().method, "absmax8");
  first.save(scratch_ / "saved");
  Model again = host_.load(scratch_ / "saved");
  EXPECT_EQ(again.info().method, "absmax8");
  EXPECT_EQ(again.generate("hello", greedy(12)).tokens, first.generate("hello", greedy(12)).tokens);
  again.dequantize();
  EXPECT_EQ(again.info().method, "");
}

TEST_F(HostApi, StreamsExactlyTheTextItReturns) {
  Model model = host_.load(kModel);
  std::string streamed;
  GenerateOptions options = greedy(20);
  options.on_text = [&](std::string_view text, std::int64_t) {
    streamed += text;
    return true;
  };
  const Generation result = model.generate("hello", options);
  EXPECT_EQ(result.text, streamed);
  EXPECT_EQ(result.text, model.decode(result.tokens));
  EXPECT_EQ(result.stop_reason, StopReason::kLength);
  EXPECT_EQ(result.prompt_tokens, 5);
}

TEST_F(HostApi, StopsBeforeAStopTextThatSpansPieces) {
  Model model = host_.load(kModel);
  const std::string whole = model.generate("hello", greedy(20)).text;
  ASSERT_GT(whole.size(), 8u);
  GenerateOptions options = greedy(20);
  options.stop = {whole.substr(3, 4)};
  std::string streamed;
  options.on_text = [&](std::string_view text, std::int64_t) {
    streamed += text;
    return true;
  };
  const Generation result = model.generate("hello", options);
  EXPECT_EQ(result.stop_reason, StopReason::kStopText);
  EXPECT_EQ(result.text, whole.substr(0, whole.find(options.stop[0])));
  EXPECT_EQ(streamed, result.text);
}

TEST_F(HostApi, AnErrorHasKindMessageAndRemedy) {
  const Error error = error_of([&] { host_.load("/no/such/model"); });
  EXPECT_EQ(error.kind(), ErrorKind::kOs);
  EXPECT_NE(error.message().find("/no/such/model"), std::string::npos);
  EXPECT_NE(error.hint().find("config.json"), std::string::npos);
  EXPECT_EQ(name_of(error.kind()), "OSError");
}

TEST_F(HostApi, CancelBeforeAndDuringALoadThrowsAndAfterItChangesNothing) {
  LoadOptions options = with_method("absmax8");
  options.cancel.cancel();
  EXPECT_EQ(error_of([&] { host_.load(kModel, options); }).kind(), ErrorKind::kCancelled);
  options.cancel.reset();
  options.progress = [](const ProgressReport&) { return false; };
  EXPECT_EQ(error_of([&] { host_.load(kModel, options); }).kind(), ErrorKind::kCancelled);
  options.progress = nullptr;
  Model model = host_.load(kModel, options);
  options.cancel.cancel();
  EXPECT_EQ(model.generate("hello", greedy(4)).tokens.size(), 4u);
}

TEST_F(HostApi, CancelFromAnotherThreadEndsAGeneration) {
  Model model = host_.load(kModel);
  GenerateOptions options = greedy(100);
  std::thread other;
  std::int64_t pieces = 0;
  options.on_text = [&](std::string_view, std::int64_t) {
    if (++pieces == 3) {
      other = std::thread([&] { options.cancel.cancel(); });
      other.join();
    }
    return true;
  };
  const Generation result = model.generate("hello", options);
  EXPECT_EQ(result.stop_reason, StopReason::kCancelled);
  EXPECT_LT(result.tokens.size(), 10u);
}

TEST_F(HostApi, ACallbackThatCallsItsOwnModelIsRefusedAndOthersAreNot) {
  Model model = host_.load(kModel), other = host_.load(kModel);
  GenerateOptions options = greedy(2);
  bool refused = false;
  options.on_text = [&](std::string_view, std::int64_t) {
    refused |= error_of([&] { model.info(); }).kind() == ErrorKind::kRuntime;
    EXPECT_EQ(other.generate("hello", greedy(2)).tokens.size(), 2u);
    return true;
  };
  model.generate("hello", options);
  EXPECT_TRUE(refused);
}

TEST_F(HostApi, OneModelServesManyThreadsOneAtATime) {
  Model model = host_.load(kModel, with_method("absmax8"));
  const auto expected = model.generate("hello", greedy(8)).tokens;
  std::atomic<int> at_work{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      GenerateOptions options = greedy(8);
      int pieces = 0;
      options.on_text = [&](std::string_view, std::int64_t) {
        if (pieces++ == 0) {
          EXPECT_EQ(at_work.fetch_add(1), 0);
        }
        if (pieces == 8) at_work.fetch_sub(1);
        return true;
      };
      EXPECT_EQ(model.generate("hello", options).tokens, expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(HostApi, LoadsRunBesideEachOther) {
  const auto expected = host_.load(kModel, with_method("absmax8")).generate("hello", greedy(8));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      Model model = host_.load(kModel, with_method("absmax8"));
      EXPECT_EQ(model.generate("hello", greedy(8)).tokens, expected.tokens);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// What plugins and the host say goes to the host that works, from whatever thread.
TEST_F(HostApi, EveryHostHasItsOwnLog) {
  std::mutex mutex;
  std::set<std::string> first_lines, second_lines;
  const auto logging_to = [&](std::set<std::string>& lines) {
    HostOptions options = host_options();
    options.log_level = LogLevel::kTrace;
    options.log = [&](LogLevel, std::string_view, std::string_view message) {
      const std::lock_guard lock(mutex);
      lines.emplace(message);
    };
    return options;
  };
  const fs::path changed = scratch_ / "model";
  fs::copy(kModel, changed);
  { std::ofstream config(changed / "quanthost-unused"); }
  Host first(logging_to(first_lines)), second(logging_to(second_lines));
  HostOptions nowhere = host_options();
  nowhere.plugin_paths = {scratch_ / "no-such-folder"};
  Host third(nowhere);
  LoadOptions options = with_method("absmax8");
  options.max_memory = "cpu=1GiB";
  Model a = first.load(kModel, options);
  const auto lines_of_first = first_lines;
  Model b = second.load(kModel, options);
  EXPECT_EQ(first_lines, lines_of_first) << "the second host's load wrote into the first's log";
  EXPECT_EQ(third.search_path().front().path, scratch_ / "no-such-folder");
}

TEST_F(HostApi, ModelsOutliveTheirHost) {
  auto host = std::make_unique<Host>(host_options());
  Model model = host->load(kModel, with_method("absmax8"));
  host.reset();
  EXPECT_EQ(model.generate("hello", greedy(4)).tokens.size(), 4u);
}

TEST_F(HostApi, QuantizeNeedsAMethodAndGivesTheFactsOfWhatItWrote) {
  const Error without = error_of([&] { host_.quantize(kModel, scratch_ / "out", {}); });
  EXPECT_EQ(without.kind(), ErrorKind::kValue);
  EXPECT_EQ(without.hint().find("--"), std::string::npos)
      << "no flags of the command: " << without.hint();
  EXPECT_FALSE(fs::exists(scratch_ / "out"));
  const ModelInfo info = host_.quantize(kModel, scratch_ / "out", with_method("absmax8"));
  EXPECT_EQ(info.method, "absmax8");
  EXPECT_TRUE(fs::exists(scratch_ / "out/model.safetensors"));
  // What is quantized already is written again as it is, and not quantized twice.
  EXPECT_EQ(host_.quantize(scratch_ / "out", scratch_ / "again", {}).method, "absmax8");
  EXPECT_EQ(error_of([&] {
              host_.quantize(scratch_ / "out", scratch_ / "twice", with_method("absmax8"));
            }).kind(),
            ErrorKind::kValue);
}

TEST_F(HostApi, QuantizeWritesWhatLoadAndSaveWrite) {
  host_.quantize(kModel, scratch_ / "at-once", with_method("absmax8"));
  host_.load(kModel, with_method("absmax8")).save(scratch_ / "in-steps");
  for (const char* name : {"model.safetensors", "config.json", "tokenizer.json"}) {
    const auto text = [&](const char* folder) {
      std::ifstream file(scratch_ / folder / name, std::ios::binary);
      return std::string(std::istreambuf_iterator<char>(file), {});
    };
    EXPECT_FALSE(text("at-once").empty()) << name;
    EXPECT_EQ(text("at-once"), text("in-steps")) << name;
  }
}

TEST_F(HostApi, QuantizeRefusesWhatCannotBeSavedBeforeItReports) {
  HostOptions with_recording = host_options();
  with_recording.plugin_paths.push_back(fs::path(quanthost::test::build_folder()) /
                                        "tests/load_plugins");
  Host host(with_recording);
  LoadOptions options = with_method("recording");
  options.settings = {{"log", "/dev/null"}, {"serializable", "false"}};
  int reports = 0;
  options.progress = [&](const ProgressReport&) { return ++reports > 0; };
  const Error error = error_of([&] { host.quantize(kModel, scratch_ / "out", options); });
  EXPECT_EQ(error.kind(), ErrorKind::kValue);
  EXPECT_NE(error.message().find("serializable"), std::string::npos) << error.message();
  EXPECT_EQ(reports, 0) << "it began to read";
  EXPECT_FALSE(fs::exists(scratch_ / "out"));
}

TEST_F(HostApi, TheLoadsProgressAndCancelCountUntilAllIsWritten) {
  std::set<std::string> stages;
  LoadOptions options = with_method("absmax8");
  options.progress = [&](const ProgressReport& now) {
    stages.insert(now.stage);
    if (now.stage == "save") options.cancel.cancel();
    return true;
  };
  EXPECT_EQ(error_of([&] { host_.quantize(kModel, scratch_ / "out", options); }).kind(),
            ErrorKind::kCancelled);
  EXPECT_EQ(stages, (std::set<std::string>{"quantize", "save"}));
  EXPECT_FALSE(fs::exists(scratch_ / "out"));
}

TEST_F(HostApi, ErrorsSpeakOfFieldsAndNotOfFlags) {
  LoadOptions options;
  options.settings = {{"bits", "4"}};
  const Error error = error_of([&] { host_.load(kModel, options); });
  EXPECT_EQ(error.message(), "settings is given without method, whose options it changes");
  options.settings.clear();
  options.device_map = "nowhere:0";
  EXPECT_NE(error_of([&] { host_.load(kModel, options); }).message().find("nowhere"),
            std::string::npos);
  options.device_map.clear();
  options.dtype = "float17";
  EXPECT_EQ(error_of([&] { host_.load(kModel, options); }).message().find("dtype: "), 0u);
}

TEST_F(HostApi, AModelInMemoryAndOneInItsFileSayTheSame) {
  LoadOptions in_memory;
  in_memory.map_files = false;
  Model a = host_.load(kModel), b = host_.load(kModel, in_memory);
  EXPECT_EQ(a.generate("hello", greedy(8)).tokens, b.generate("hello", greedy(8)).tokens);
  EXPECT_GT(b.info().bytes_read, a.info().bytes_read);
}

}  // namespace

// A quantizer of the calibrated kind leads real (small) models through the host's calibration.
#include <ATen/Parallel.h>

#include <fstream>

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

}  // namespace
}  // namespace quanthost

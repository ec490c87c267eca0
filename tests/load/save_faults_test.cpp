// What goes wrong in the middle of a save, of a model in memory and of one that streams into its
// checkpoint: the error names the cause, nothing new stays, and what was there before is whole.
#include <algorithm>
#include <fstream>

#include "tests/load/file_transfers.hpp"
#include "tests/load/load_fixture.hpp"

namespace quanthost {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int kMomentsOfASave = 10;

class SaveFaults : public LoadPipeline {
 protected:
  void SetUp() override {
    LoadPipeline::SetUp();
    fs::create_directories(out().parent_path());
    deep_ = deep_llama(/*layers=*/4, /*shard_bytes=*/64 << 10);
  }
  fs::path out() const { return folder_ / "outputs/model"; }
  LoadOptions recording(const std::string& fault = "") {
    std::vector<std::string> settings{"log=/dev/null"};
    if (!fault.empty()) settings.push_back(fault);
    LoadOptions how = options(deep_);
    how.quantization = user_quantization("recording", settings);
    return how;
  }
  // Finished layers wait in a file, not in memory.
  void quantize_streaming(const LoadOptions& how) { quantize(how, out()); }
  bool read_a_tensor() const {
    const auto events = trace_.events();
    return std::any_of(events.begin(), events.end(),
                       [](const Trace::Event& event) { return event.category == "tensor"; });
  }
  int transfers_of(Transfer kind, const std::function<void()>& work) {
    int count = 0;
    const WatchedTransfers watched(folder_, [&](Transfer t) { return count += t == kind, 0; });
    work();
    return count;
  }
  // `work` fails at each of these moments with this error, which is told; an output that was there
  // before stays as it was, and no other file appears.
  void expect_clean_failures(Transfer kind, int error, const char* says,
                             const std::function<void()>& work) {
    const int count = transfers_of(kind, work);
    ASSERT_GE(count, kMomentsOfASave / 2);
    const std::string before = read_text_file(out() / "model.safetensors");
    for (int moment = 0; moment < kMomentsOfASave; ++moment) {
      const FailingTransfer failing(folder_, kind, count * moment / kMomentsOfASave, error);
      const Error failed = error_of(work);
      EXPECT_EQ(failed.kind(), ErrorKind::kOs) << failed.what();
      EXPECT_THAT(failed.what(), AllOf(HasSubstr(folder_.string()), HasSubstr(says)));
      expect_only_output(before);
    }
  }
  void expect_only_output(const std::string& model) {
    EXPECT_TRUE(read_text_file(out() / "model.safetensors") == model);
    EXPECT_EQ(std::distance(fs::directory_iterator(out().parent_path()), {}), 1);
  }

  fs::path deep_;
};

TEST_F(SaveFaults, AFullDiskIsToldAtAnyWrite) {
  LoadedModel loaded = load_model(plugins(), recording());
  expect_clean_failures(Transfer::kWrite, ENOSPC, "No space left on device",
                        [&] { save_model(loaded, out()); });
}

TEST_F(SaveFaults, AWriteErrorIsToldWhileQuantizingIntoACheckpoint) {
  expect_clean_failures(Transfer::kWrite, EIO, "Input/output error",
                        [&] { quantize_streaming(recording()); });
}

TEST_F(SaveFaults, AReadErrorIsToldWhileQuantizingIntoACheckpoint) {
  expect_clean_failures(Transfer::kRead, EIO, "Input/output error",
                        [&] { quantize_streaming(recording()); });
}

// Disks may take the data and tell at the flush that it is lost.
TEST_F(SaveFaults, ADiskThatCannotFlushIsTold) {
  LoadedModel loaded = load_model(plugins(), recording());
  expect_clean_failures(Transfer::kFlush, EIO, "Input/output error",
                        [&] { save_model(loaded, out()); });
}

TEST_F(SaveFaults, APluginThatFailsWhileSavingIsNamedWithItsLayer) {
  quantize_streaming(recording());
  const std::string before = read_text_file(out() / "model.safetensors");
  const std::string layer = "model.layers.2.mlp.up_proj";
  LoadedModel loaded = load_model(plugins(), recording("fail_saving_at=" + layer));
  for (const auto& save : std::vector<std::function<void()>>{
           [&] { save_model(loaded, out()); },
           [&] { quantize_streaming(recording("fail_saving_at=" + layer)); }}) {
    const Error error = error_of(save);
    EXPECT_EQ(error.kind(), ErrorKind::kRuntime);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("test.recording"), HasSubstr(layer),
                                    HasSubstr("this layer was not to be saved")));
    expect_only_output(before);
  }
}

TEST_F(SaveFaults, AMethodThatCannotBeSavedIsRefusedBeforeAnythingIsWritten) {
  LoadedModel loaded = load_model(plugins(), recording("serializable=false"));
  const int writes = transfers_of(Transfer::kWrite, [&] {
    const Error error = error_of([&] { save_model(loaded, out()); });
    EXPECT_EQ(error.kind(), ErrorKind::kValue);
    EXPECT_THAT(error.what(), HasSubstr("not serializable"));
  });
  EXPECT_EQ(writes, 0);
  EXPECT_FALSE(fs::exists(out()));
}

// Hours of work must not end in a refusal that was certain from the start.
TEST_F(SaveFaults, QuantizingRefusesBeforeATensorIsRead) {
  Error error = error_of([&] { quantize_streaming(recording("serializable=false")); });
  EXPECT_EQ(error.kind(), ErrorKind::kValue);
  EXPECT_THAT(error.what(), HasSubstr("not serializable"));
  EXPECT_FALSE(read_a_tensor());

  EXPECT_THROW(quantize_streaming(options(deep_)), UserOptionError) << "no method";
  EXPECT_FALSE(read_a_tensor());

  fs::create_directories(out());
  { std::ofstream notes(out() / "notes.txt"); }
  error = error_of([&] { quantize_streaming(recording()); });
  EXPECT_EQ(error.kind(), ErrorKind::kOs);
  EXPECT_THAT(error.what(), HasSubstr("holds no checkpoint"));
  EXPECT_FALSE(read_a_tensor());
  fs::remove_all(out());

  quantize_streaming(recording());
  EXPECT_TRUE(read_a_tensor());
  LoadOptions again = recording();
  again.checkpoint = out();
  EXPECT_THROW(quantize(again, folder_ / "again"), UserOptionError) << "quantized already";
  EXPECT_FALSE(fs::exists(folder_ / "again"));
}

}  // namespace
}  // namespace quanthost

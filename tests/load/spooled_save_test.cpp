// Quantizing a checkpoint into another one part by part: same bytes, nothing left when it fails.
#include <set>

#include "tests/load/file_size_limit.hpp"
#include "tests/load/load_fixture.hpp"

namespace quanthost {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class SpooledSave : public LoadPipeline {
 protected:
  LoadOptions quantized_by(const std::string& method, const fs::path& checkpoint) {
    LoadOptions out = options(checkpoint);
    const bool nested = method == "bitsandbytes_4bit";
    out.quantization = user_quantization(
        method, nested ? std::vector<std::string>{"bnb_4bit_use_double_quant=true"}
                       : std::vector<std::string>{});
    return out;
  }
  static void expect_same_files(const fs::path& a, const fs::path& b) {
    std::set<std::string> names;
    for (const auto& folder : {a, b})
      for (const auto& entry : fs::directory_iterator(folder))
        names.insert(entry.path().filename());
    EXPECT_GT(names.size(), 1u);
    for (const std::string& name : names)
      EXPECT_EQ(read_text_file(a / name), read_text_file(b / name)) << name;
  }
  // Files in the folder, the nameless ones of this process included.
  static std::size_t open_files_below(const fs::path& folder) {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
      std::error_code error;
      count += fs::read_symlink(entry.path(), error).string().starts_with(folder.string());
    }
    return count;
  }
};

TEST_F(SpooledSave, WritesTheBytesThatAModelInMemoryGives) {
  const fs::path deep = deep_llama(3, 64 << 10);
  for (const char* method : {"absmax8", "bitsandbytes_4bit", "quanto"}) {
    for (const fs::path& checkpoint : {deep, kGoldens / "qwen2", kGoldens / "gpt2"}) {
      if (std::string(method) != "bitsandbytes_4bit" && checkpoint.filename() == "gpt2") continue;
      LoadedModel whole = load_model(plugins(), quantized_by(method, checkpoint));
      EXPECT_EQ(whole.spool, nullptr);
      save_model(whole, folder_ / "whole");
      const LoadedModel spooled = quantize(quantized_by(method, checkpoint), folder_ / "spooled");
      EXPECT_NE(spooled.spool, nullptr);
      SCOPED_TRACE(std::string(method) + " of " + checkpoint.string());
      expect_same_files(folder_ / "whole", folder_ / "spooled");
    }
  }
}

TEST_F(SpooledSave, WritesTheSameShards) {
  const fs::path deep = deep_llama(4, 64 << 10);
  SaveOptions sharded;
  sharded.max_shard_bytes = 50'000;
  LoadedModel whole = load_model(plugins(), quantized_by("absmax8", deep));
  save_model(whole, folder_ / "whole", sharded);
  quantize(quantized_by("absmax8", deep), folder_ / "spooled", sharded);
  EXPECT_TRUE(fs::exists(folder_ / "spooled/model.safetensors.index.json"));
  expect_same_files(folder_ / "whole", folder_ / "spooled");
}

TEST_F(SpooledSave, SavesAgainWhatItSaved) {
  for (const char* method : {"absmax8", "bitsandbytes_4bit", "quanto"}) {
    quantize(quantized_by(method, kGoldens / "llama"), folder_ / method / "a");
    quantize(options(folder_ / method / "a"), folder_ / method / "b");
    SCOPED_TRACE(method);
    expect_same_files(folder_ / method / "a", folder_ / method / "b");
  }
}

TEST_F(SpooledSave, ConvertsWhileItStreams) {
  LoadOptions how = quantized_by("absmax8", kGoldens / "llama");
  how.dtype = "bfloat16";
  LoadedModel whole = load_model(plugins(), how);
  save_model(whole, folder_ / "whole");
  quantize(how, folder_ / "spooled");
  expect_same_files(folder_ / "whole", folder_ / "spooled");
}

TEST_F(SpooledSave, LeavesNothingWhenItIsCancelled) {
  for (const std::string stage : {"quantize", "save"}) {
    CancelToken cancel;
    Progress progress(
        [&](const ProgressReport& report) {
          if (report.stage == stage && !report.stage_ended) cancel.cancel();
        },
        &cancel);
    LoadOptions how = quantized_by("absmax8", kGoldens / "llama");
    how.cancel = &cancel;
    how.progress = &progress;
    SaveOptions save;
    save.cancel = &cancel;
    save.progress = &progress;
    fs::create_directories(folder_ / "out");
    const Error error = error_of([&] { quantize(how, folder_ / "out/model", save); });
    EXPECT_EQ(error.kind(), ErrorKind::kCancelled) << stage;
    EXPECT_TRUE(fs::is_empty(folder_ / "out")) << stage;
    EXPECT_EQ(open_files_below(folder_), 0u) << stage;
  }
}

TEST_F(SpooledSave, LeavesNothingAndSaysWhyWhenTheDiskIsFull) {
  fs::create_directories(folder_ / "out");
  LoadedModel loaded = load_model(plugins(), quantized_by("absmax8", kGoldens / "llama"));
  const std::uint64_t whole = loaded.stats.model_bytes;
  for (const std::uint64_t room : {whole / 100, whole / 3, whole - 1000}) {
    {
      const FileSizeLimit limit(room);
      const Error while_saving = error_of([&] { save_model(loaded, folder_ / "out/model"); });
      EXPECT_EQ(while_saving.kind(), ErrorKind::kOs) << while_saving.what();
      EXPECT_THAT(while_saving.what(), AllOf(HasSubstr("model"), HasSubstr("bytes")));
    }
    EXPECT_TRUE(fs::is_empty(folder_ / "out")) << room;
    {
      const FileSizeLimit limit(room);
      const Error while_streaming = error_of(
          [&] { quantize(quantized_by("absmax8", kGoldens / "llama"), folder_ / "out/model"); });
      EXPECT_EQ(while_streaming.kind(), ErrorKind::kOs) << while_streaming.what();
    }
    EXPECT_TRUE(fs::is_empty(folder_ / "out")) << room;
    EXPECT_EQ(open_files_below(folder_ / "out"), 0u);
  }
  save_model(loaded, folder_ / "out/model");  // with room again, the model is still whole
  EXPECT_TRUE(load_model(plugins(), options(folder_ / "out/model")).keys.clean());
}

TEST_F(SpooledSave, KeepsWhatWasThereWhenItFails) {
  quantize(quantized_by("absmax8", kGoldens / "llama"), folder_ / "model");
  const std::string before = read_text_file(folder_ / "model/model.safetensors");
  {
    const FileSizeLimit limit(1000);
    error_of([&] { quantize(quantized_by("absmax8", kGoldens / "qwen2"), folder_ / "model"); });
  }
  EXPECT_EQ(read_text_file(folder_ / "model/model.safetensors"), before);
}

}  // namespace
}  // namespace quanthost

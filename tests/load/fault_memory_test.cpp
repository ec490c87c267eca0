// Whatever goes wrong in a load or a save: the error names the cause, the memory is what it was
// before, and no partial output stays.
#include <malloc.h>

#include <functional>
#include <random>

#include "host/load/process_memory.hpp"
#include "tests/load/file_size_limit.hpp"
#include "tests/load/file_transfers.hpp"
#include "tests/load/load_fixture.hpp"

namespace quanthost {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int kBlocks = 33;  // 300 tensors
constexpr std::uint64_t kShardBytes = 256 << 10;
constexpr int kWarmUp = 3, kFailures = 10, kStoppedLoads = 50;
// Of all failures together. The model takes over a megabyte; caches that are filled once, less.
constexpr std::int64_t kSlackBytes = 16 << 10;
constexpr std::int64_t kResidentSlackBytes = 4 << 20;  // pages are kept and given back in lumps

class FaultMemory : public LoadPipeline {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer's own memory would be measured; it finds leaks itself";
#endif
    LoadPipeline::SetUp();
    fs::create_directories(out());
  }
  fs::path out() const { return folder_ / "outputs"; }

  LoadOptions quantizing(const fs::path& checkpoint, const std::string& fault = "") {
    std::vector<std::string> settings{"log=/dev/null"};
    if (!fault.empty()) settings.push_back(fault);
    LoadOptions how;
    how.checkpoint = checkpoint;
    how.quantization = user_quantization("recording", settings);
    return how;
  }
  void quantize(const LoadOptions& how) {
    LoadedModel loaded = load_model(plugins(), how);
    SaveOptions save;
    save.cancel = how.cancel;
    save_model(loaded, out() / "model", save);
  }
  std::string fifty_seventh(const fs::path& checkpoint) {
    const LoadedModel planned = plan_load(plugins(), quantizing(checkpoint));
    EXPECT_EQ(planned.plan.size(), 300u);
    std::size_t at = 56;
    while (!planned.plan.at(at).quantized) ++at;
    return planned.plan[at].name;
  }
  static fs::path last_shard(const fs::path& checkpoint) {
    fs::path last;
    for (const auto& entry : fs::directory_iterator(checkpoint))
      if (entry.path().extension() == ".safetensors" && last < entry.path()) last = entry.path();
    return last;
  }

  static std::int64_t heap_bytes() {
    const struct mallinfo2 info = ::mallinfo2();
    return static_cast<std::int64_t>(info.uordblks + info.hblkhd);
  }
  static std::int64_t resident_bytes() {
    ::malloc_trim(0);
    return static_cast<std::int64_t>(process_memory().anonymous_bytes);
  }

  // `fail_once` ends well only when it failed as it should.
  void expect_memory_returns(const std::function<void()>& fail_once, int times = kFailures) {
    for (int i = 0; i < kWarmUp; ++i) fail_once();
    const std::int64_t heap = heap_bytes(), resident = resident_bytes();
    for (int i = 0; i < times; ++i) fail_once();
    const std::int64_t more_heap = heap_bytes() - heap, more_resident = resident_bytes() - resident;
    EXPECT_LE(more_heap, kSlackBytes);
    EXPECT_LE(more_resident, kResidentSlackBytes);
    EXPECT_TRUE(fs::is_empty(out()));
    std::printf("%d failures: heap %+lld bytes, resident %+lld bytes\n", times,
                static_cast<long long>(more_heap), static_cast<long long>(more_resident));
  }
  void expect_fault(const LoadOptions& how, ErrorKind kind,
                    const testing::Matcher<std::string>& says) {
    expect_memory_returns([&] {
      const Error error = error_of([&] { quantize(how); });
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_THAT(std::string(error.what()), says);
    });
  }
};

TEST_F(FaultMemory, ReturnsWhenThePluginFailsAtTensor57Of300) {
  const fs::path model = deep_llama(kBlocks, kShardBytes);
  const std::string name = fifty_seventh(model);
  expect_fault(
      quantizing(model, "fail_at=" + name), ErrorKind::kRuntime,
      AllOf(HasSubstr("test.recording"), HasSubstr(name), HasSubstr("this parameter was to fail")));
}

TEST_F(FaultMemory, ReturnsWhenThePluginMakesALayerOfAnotherShape) {
  expect_fault(
      quantizing(deep_llama(kBlocks, kShardBytes), "wrong_shape_at=model.layers.20.mlp.up_proj"),
      ErrorKind::kValue,
      AllOf(HasSubstr("test.recording"), HasSubstr("model.layers.20.mlp.up_proj")));
}

TEST_F(FaultMemory, ReturnsWhenAShardIsTruncated) {
  const fs::path model = deep_llama(kBlocks, kShardBytes);
  const fs::path cut = last_shard(model);
  fs::resize_file(cut, fs::file_size(cut) - 1);
  expect_fault(quantizing(model), ErrorKind::kValue, HasSubstr(cut.filename().string()));
}

TEST_F(FaultMemory, ReturnsWhenAShardIsMissing) {
  const fs::path model = deep_llama(kBlocks, kShardBytes);
  const fs::path lost = last_shard(model);
  fs::remove(lost);
  expect_fault(quantizing(model), ErrorKind::kOs, HasSubstr(lost.filename().string()));
}

TEST_F(FaultMemory, ReturnsWhenATensorHasAnotherShape) {
  const fs::path model = deep_llama(kBlocks, std::uint64_t{1} << 30);
  const std::string wrong = "model.layers.20.input_layernorm.weight";
  rewrite(model, [&](TensorDeclaration& tensor) {
    if (tensor.name == wrong) tensor.shape = {7};
    return true;
  });
  expect_fault(quantizing(model), ErrorKind::kRuntime,
               AllOf(HasSubstr(wrong), HasSubstr("model.safetensors"), HasSubstr("[7]")));
}

TEST_F(FaultMemory, ReturnsWhenTheDiskCannotReadInTheMiddle) {
  const LoadOptions how = quantizing(deep_llama(kBlocks, kShardBytes));
  int tensors = 0;
  expect_memory_returns([&] {
    LoadedModel loaded = plan_load(plugins(), how);
    const FailingTransfer failing(folder_, Transfer::kRead, tensors += 10);
    const Error error = error_of([&] { run_load(loaded, how); });
    EXPECT_EQ(error.kind(), ErrorKind::kOs);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("tensor model."), HasSubstr(".safetensors"),
                                    HasSubstr("Input/output error")));
  });
}

TEST_F(FaultMemory, ReturnsWhenTheDiskIsFullWhileSaving) {
  const LoadOptions how = quantizing(deep_llama(kBlocks, kShardBytes));
  std::uint64_t room = 1000;
  expect_memory_returns([&] {
    const FileSizeLimit limit(room += 20000);
    const Error error = error_of([&] { quantize(how); });
    EXPECT_EQ(error.kind(), ErrorKind::kOs);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("model"), HasSubstr("bytes")));
  });
}

TEST_F(FaultMemory, ReturnsWhenTheDiskCannotWriteWhileSaving) {
  const LoadOptions how = quantizing(deep_llama(kBlocks, kShardBytes));
  int parts = 0;
  expect_memory_returns([&] {
    const FailingTransfer failing(folder_, Transfer::kWrite, parts += 20);
    const Error error = error_of([&] { quantize(how); });
    EXPECT_EQ(error.kind(), ErrorKind::kOs);
    EXPECT_THAT(error.what(), AllOf(HasSubstr(".safetensors"), HasSubstr("Input/output error")));
  });
}

TEST_F(FaultMemory, ReturnsWhenThePluginFailsWhileSaving) {
  const std::string layer = "model.layers.20.mlp.up_proj";
  expect_fault(quantizing(deep_llama(kBlocks, kShardBytes), "fail_saving_at=" + layer),
               ErrorKind::kRuntime,
               AllOf(HasSubstr(layer), HasSubstr("this layer was not to be saved")));
}

TEST_F(FaultMemory, ReturnsWhereverALoadIsCancelled) {
  LoadOptions how = quantizing(deep_llama(kBlocks, kShardBytes));
  how.stream.queue_bytes = 8 << 10;
  int transfers = 0;
  {
    const WatchedTransfers watched(folder_, [&](Transfer) { return ++transfers, 0; });
    quantize(how);
  }
  fs::remove_all(out() / "model");
  std::mt19937 random(7);
  std::uniform_int_distribution<int> moment(0, transfers - 1);
  int stopped = 0;
  expect_memory_returns(
      [&] {
        CancelToken cancel;
        how.cancel = &cancel;
        const StopAtTransfer stop(folder_, cancel, moment(random));
        try {
          quantize(how);
          fs::remove_all(out() / "model");  // nothing was left to stop
        } catch (const Error& error) {
          EXPECT_EQ(error.kind(), ErrorKind::kCancelled) << error.what();
          ++stopped;
        }
      },
      kStoppedLoads);
  EXPECT_GT(stopped, kStoppedLoads * 3 / 4);
  std::printf("%d of %d loads were stopped\n", stopped, kWarmUp + kStoppedLoads);
}

}  // namespace
}  // namespace quanthost

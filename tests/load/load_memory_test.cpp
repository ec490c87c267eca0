// The promise on memory, held by a process of its own on a checkpoint of a few hundred megabytes.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

#include "host/checkpoint/checkpoint_writer.hpp"
#include "tests/cli/command.hpp"
#include "tests/folders.hpp"

namespace quanthost::test {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::int64_t kHidden = 1024, kIntermediate = 4096, kVocabulary = 16000;
constexpr int kLayers = 6;

// In the build folder, and gone with the test: 255 MiB of bfloat16.
class GeneratedCheckpoint {
 public:
  GeneratedCheckpoint()
      : path_(fs::path(build_folder()) / ("load-memory-" + std::to_string(::getpid()))) {
    fs::create_directories(path_);
    write_json_file(path_ / "config.json", {{"architectures", {"LlamaForCausalLM"}},
                                            {"model_type", "llama"},
                                            {"hidden_act", "silu"},
                                            {"hidden_size", kHidden},
                                            {"intermediate_size", kIntermediate},
                                            {"max_position_embeddings", 2048},
                                            {"num_attention_heads", 16},
                                            {"num_key_value_heads", 16},
                                            {"num_hidden_layers", kLayers},
                                            {"rms_norm_eps", 1e-6},
                                            {"tie_word_embeddings", false},
                                            {"torch_dtype", "bfloat16"},
                                            {"vocab_size", kVocabulary}});
    declare("model.embed_tokens.weight", {kVocabulary, kHidden});
    declare("lm_head.weight", {kVocabulary, kHidden});
    declare("model.norm.weight", {kHidden});
    for (int layer = 0; layer < kLayers; ++layer) {
      const std::string in = "model.layers." + std::to_string(layer) + ".";
      for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"})
        declare(in + "self_attn." + name + ".weight", {kHidden, kHidden});
      declare(in + "mlp.gate_proj.weight", {kIntermediate, kHidden});
      declare(in + "mlp.up_proj.weight", {kIntermediate, kHidden});
      declare(in + "mlp.down_proj.weight", {kHidden, kIntermediate});
      declare(in + "input_layernorm.weight", {kHidden});
      declare(in + "post_attention_layernorm.weight", {kHidden});
    }
    CheckpointWriter writer(path_, tensors_);
    for (const TensorDeclaration& tensor : tensors_) {
      const std::vector<std::uint16_t> data = values(tensor);
      writer.write(tensor.name, std::as_bytes(std::span(data)));
    }
    writer.finish();
  }
  ~GeneratedCheckpoint() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  const fs::path& path() const { return path_; }
  static std::uint64_t largest_tensor() { return std::uint64_t{2} * kVocabulary * kHidden; }

 private:
  void declare(std::string name, std::vector<std::int64_t> shape) {
    tensors_.push_back({std::move(name), Dtype::kBF16, std::move(shape)});
  }
  // Small numbers of both signs from a linear congruential generator: the same everywhere.
  std::vector<std::uint16_t> values(const TensorDeclaration& tensor) {
    std::vector<std::uint16_t> out(storage_bytes(tensor.dtype, tensor.shape) / 2);
    for (std::uint16_t& value : out) {
      state_ = state_ * 1664525 + 1013904223;
      value = static_cast<std::uint16_t>((state_ >> 16 & 0x807f) | 0x3c00);
    }
    return out;
  }

  const fs::path path_;
  std::vector<TensorDeclaration> tensors_;
  std::uint32_t state_ = 6;
};

// Runs a verb in a process of its own and gives what it measured.
Json measured(const std::string& arguments) {
  const Command command;
  fs::copy_file(built_plugin("absmax8"), command.plugins() / "absmax8.so");
  const Outcome outcome = command.run(arguments + " --method absmax8 --json");
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  return outcome.json();
}

double mib(std::uint64_t bytes) { return static_cast<double>(bytes) / kMiB; }

class LoadMemory : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer's own memory would be measured";
#endif
  }
  static constexpr std::uint64_t kQueue = 32 * kMiB;
  std::string verb(const std::string& name, const std::string& more = "") const {
    return name + " '" + checkpoint_.path().string() + "' --max-queue 32MiB " + more;
  }
  const GeneratedCheckpoint checkpoint_;
};

// As the system counts it: nothing is taken off for the program and LibTorch, which take some 75
// MiB when they idle.
TEST_F(LoadMemory, PeaksAtTheQuantizedModelTheQueueTheLargestTensorAnd64MiB) {
  for (const char* threads : {"1", "2"}) {
    const Json load = measured(verb("load", std::string("--threads ") + threads));
    const std::uint64_t peak = load.at("peak_rss_bytes"), model = load.at("model_bytes"),
                        queued = load.at("peak_queue_bytes");
    const std::uint64_t largest = GeneratedCheckpoint::largest_tensor();
    EXPECT_LE(peak, model + kQueue + largest + 64 * kMiB) << threads << " threads";
    EXPECT_LE(peak, load.at("promised_rss_bytes").get<std::uint64_t>()) << "what it says itself";
    EXPECT_LE(queued, std::max(kQueue, largest)) << "as the host counts it";
    EXPECT_GT(queued, kQueue / 2);
    std::printf("threads %s: peak %.1f MiB, model %.1f MiB, above it %.1f of %.1f MiB\n", threads,
                mib(peak), mib(model), mib(peak) - mib(model), mib(kQueue + largest) + 64);
  }
}

TEST_F(LoadMemory, PeaksWhereItWasEstimated) {
  const Json estimate = measured(verb("estimate"));
  const Json cpu = estimate.at("devices").at(0);
  const std::uint64_t process = estimate.at("process_bytes"),
                      loading = cpu.at("peak_while_loading_bytes");
  const Json load = measured(verb("load"));
  const std::uint64_t peak = load.at("peak_rss_bytes");
  const double model = load.at("model_bytes");
  EXPECT_NEAR(cpu.at("weights_bytes").get<double>() + cpu.at("overhead_bytes").get<double>(), model,
              0.01 * model);
  std::printf("estimated %.1f MiB at its peak, measured %.1f MiB\n", mib(process + loading),
              mib(peak));
  EXPECT_LE(peak, process + loading + 32 * kMiB);
  EXPECT_GE(static_cast<double>(peak), 0.7 * static_cast<double>(process + loading));
}

TEST_F(LoadMemory, QuantizesIntoACheckpointWithoutHoldingTheModel) {
  const fs::path out = checkpoint_.path().string() + "-out";
  const Json estimate = measured(verb("estimate"));
  for (const char* threads : {"1", "2"}) {
    fs::remove_all(out);
    const Json made =
        measured(verb("quantize", "'" + out.string() + "' --threads " + std::string(threads)));
    const std::uint64_t peak = made.at("peak_rss_bytes"), model = made.at("model_bytes"),
                        process = estimate.at("process_bytes");
    // The model itself, 126 MiB here, is not among these.
    EXPECT_LE(peak, process + kQueue + GeneratedCheckpoint::largest_tensor() + 32 * kMiB);
    EXPECT_GT(made.at("spooled_bytes"), model / 2);
    EXPECT_GE(fs::file_size(out / "model.safetensors"), model);
    std::printf("threads %s: peak %.1f MiB, model %.1f MiB, process at rest %.1f MiB\n", threads,
                mib(peak), mib(model), mib(process));
  }
  fs::remove_all(out);
}

// The same road from an application.
TEST_F(LoadMemory, AnApplicationQuantizesWithoutHoldingTheModel) {
  const fs::path out = checkpoint_.path().string() + "-api";
  const std::uint64_t process = measured(verb("estimate")).at("process_bytes");
  for (const char* threads : {"1", "2"}) {
    fs::remove_all(out);
    const std::string line =
        fmt::format("{0}/tests/api_quantize '{1}' '{2}' '{0}/plugins' {3} {4}", build_folder(),
                    checkpoint_.path().string(), out.string(), kQueue, threads);
    std::FILE* const pipe = ::popen(line.c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    unsigned long long peak = 0;
    const int read = std::fscanf(pipe, "%llu", &peak);
    ASSERT_EQ(::pclose(pipe), 0);
    ASSERT_EQ(read, 1);
    const std::uint64_t model = fs::file_size(out / "model.safetensors");
    EXPECT_LE(peak, process + kQueue + GeneratedCheckpoint::largest_tensor() + 32 * kMiB);
    std::printf("threads %s: peak %.1f MiB, model %.1f MiB, process at rest %.1f MiB\n", threads,
                mib(peak), mib(model), mib(process));
  }
  fs::remove_all(out);
}

// Checkpoints that a repository does not hold: SmolLM2 where models/smollm2 is, and any other that
// QUANTHOST_LARGE_CHECKPOINT names (bench/load/make_checkpoint.py writes one of 4 GiB).
class LoadMemoryOf : public testing::TestWithParam<const char*> {
 protected:
  static fs::path model() {
    if (std::string_view(GetParam()) == "SmolLM2")
      return fs::path(source_folder()) / "models/smollm2";
    const char* const named = std::getenv("QUANTHOST_LARGE_CHECKPOINT");
    return named ? named : "";
  }
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer's own memory would be measured";
#endif
    if (!fs::exists(model() / "config.json")) GTEST_SKIP() << GetParam() << " is not here";
  }
};

TEST_P(LoadMemoryOf, StaysBelowItsPromiseAndNearItsEstimate) {
  const std::string what = " '" + model().string() + "' --max-queue 64MiB --threads ";
  const Json estimate = measured("estimate" + what + "2");
  const double needed = estimate.at("process_bytes").get<double>() +
                        estimate.at("devices").at(0).at("peak_while_loading_bytes").get<double>();
  // Where it lies in the files, a tensor that stays as it is is counted once it is used.
  for (const char* arguments : {"1", "2", "2 --no-mmap"}) {
    const Json load = measured("load" + what + arguments);
    const std::uint64_t peak = load.at("peak_rss_bytes"), bytes = load.at("model_bytes");
    EXPECT_LE(peak, load.at("promised_rss_bytes").get<std::uint64_t>()) << arguments;
    if (std::string_view(arguments).ends_with("--no-mmap"))
      EXPECT_GE(peak, bytes) << "the whole model is in memory";
    else
      EXPECT_LE(static_cast<double>(peak), needed + 32.0 * kMiB);
    std::printf("%s, --threads %s: model %.1f, peak %.1f, promised %.1f, estimated %.1f MiB\n",
                GetParam(), arguments, mib(bytes), mib(peak),
                mib(load.at("promised_rss_bytes").get<std::uint64_t>()), needed / kMiB);
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, LoadMemoryOf, testing::Values("SmolLM2", "Large"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace quanthost::test

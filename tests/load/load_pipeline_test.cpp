// A real plugin quantizes real (small) checkpoints while they load, through the whole pipeline.
#include <ATen/ops/abs.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>

#include <fstream>

#include "host/base/file.hpp"
#include "host/checkpoint/safetensors_writer.hpp"
#include "host/load/save.hpp"

namespace quanthost {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const fs::path kGoldens = fs::path(QH_TEST_SOURCE_DIR) / "tests/model/goldens";

class LoadPipeline : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("quanthost-load-{}-{}", getpid(), counter_++);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static PluginHost& plugins() {
    static PluginHost host([] {
      PluginHostOptions options;
      options.plugin_paths = {fs::path(QH_TEST_BINARY_DIR) / "plugins"};
      options.use_cache = false;
      options.probe_before_first_use = false;
      options.trust = TrustPolicy::kOff;
      return options;
    }());
    return host;
  }

  LoadOptions options(const fs::path& checkpoint, const std::string& method = "") {
    LoadOptions options;
    options.checkpoint = checkpoint;
    options.quantization = user_quantization(method, {});
    options.trace = &trace_;
    return options;
  }

  fs::path copy_of(const std::string& golden) {
    const fs::path to = folder_ / golden;
    fs::copy(kGoldens / golden, to);
    return to;
  }

  // Rewrites the checkpoint's tensors through `change`, which may drop or reshape them.
  template <typename Change>
  void rewrite(const fs::path& checkpoint, Change&& change) {
    std::vector<TensorDeclaration> declarations;
    std::map<std::string, std::string> data;
    {
      const SafetensorsFile file = SafetensorsFile::open(checkpoint / "model.safetensors");
      for (const TensorInfo& info : file.tensors()) {
        TensorDeclaration declaration = info;
        if (!change(declaration)) continue;
        std::string bytes(storage_bytes(declaration.dtype, declaration.shape), '\0');
        const auto view = file.view(info);
        std::memcpy(bytes.data(), view.data(), std::min(bytes.size(), view.size()));
        data[declaration.name] = std::move(bytes);
        declarations.push_back(std::move(declaration));
      }
    }
    SafetensorsWriter writer(checkpoint / "model.safetensors", declarations, {{"format", "pt"}});
    for (const auto& [name, bytes] : data) writer.write(name, std::as_bytes(std::span(bytes)));
    writer.finish();
  }

  template <typename Body>
  Error error_of(Body&& body) {
    try {
      body();
    } catch (const Error& e) {
      return e;
    }
    ADD_FAILURE() << "nothing failed";
    return Error(ErrorKind::kInternal, "");
  }

  std::vector<std::string> slots() {
    std::vector<std::string> out;
    for (const Trace::Event& event : trace_.events()) {
      if (event.category == "slot" && (out.empty() || out.back() != event.name))
        out.push_back(event.name);
    }
    return out;
  }

  static at::Tensor stored(const fs::path& file, const std::string& name) {
    const SafetensorsFile opened = SafetensorsFile::open(file);
    const TensorInfo& info = *opened.find(name);
    at::Tensor value = at::empty(info.shape, to_scalar_type(info.dtype));
    opened.read(info, {static_cast<std::byte*>(value.mutable_data_ptr()), value.nbytes()});
    return value;
  }

  static double relative_error(const at::Tensor& got, const at::Tensor& wanted) {
    return ((got - wanted).abs().max() / wanted.abs().max()).item<double>();
  }

  at::Tensor output_of(LoadedModel& loaded, const std::string& golden) {
    const c10::InferenceMode inference;
    model::ModelInputs inputs;
    inputs.input_ids = stored(kGoldens / golden / "expected.safetensors", "input_ids");
    return loaded.model->forward(inputs).to(at::kFloat);
  }

  fs::path folder_;
  Trace trace_;
  inline static int counter_ = 0;
};

TEST_F(LoadPipeline, GivesTransformersOutputsForAPlainLoad) {
  for (const char* golden : {"llama", "gpt2", "qwen2", "opt"}) {
    LoadedModel loaded = load_model(plugins(), options(kGoldens / golden));
    const at::Tensor wanted = stored(kGoldens / golden / "expected.safetensors", "output");
    EXPECT_LT(relative_error(output_of(loaded, golden), wanted), 1e-4) << golden;
    EXPECT_TRUE(loaded.keys.clean()) << golden << ": " << loaded.keys.text();
  }
}

TEST_F(LoadPipeline, QuantizesWhileLoadingAndStaysNearTheModel) {
  LoadedModel loaded = load_model(plugins(), options(kGoldens / "llama", "absmax8"));
  EXPECT_FALSE(loaded.context->plugin_modules().empty());
  EXPECT_EQ(loaded.context->plugin_module("lm_head"), nullptr);
  const at::Tensor wanted = stored(kGoldens / "llama/expected.safetensors", "output");
  EXPECT_LT(relative_error(output_of(loaded, "llama"), wanted), 0.05);
  EXPECT_EQ(loaded.context->attributes.at("quantization_method"), "\"absmax8\"");
}

TEST_F(LoadPipeline, CallsTheSlotsInTransformersOrder) {
  { const LoadedModel loaded = load_model(plugins(), options(kGoldens / "llama", "absmax8")); }
  std::vector<std::string> seen;
  for (const std::string& slot : slots()) {
    if (std::find(seen.begin(), seen.end(), slot) == seen.end()) seen.push_back(slot);
  }
  EXPECT_THAT(
      seen, ElementsAre("create", "validate_environment", "update_torch_dtype", "update_device_map",
                        "process_before_load", "adjust_target_dtype", "get_special_dtypes_update",
                        "param_element_size", "check_quantized_param", "row_granularity",
                        "update_expected_keys", "update_missing_keys", "update_unexpected_keys",
                        "create_quantized_param", "process_after_load", "destroy"));
}

TEST_F(LoadPipeline, ValidatesAgainOnceAMapWasInferred) {
  LoadOptions with_map = options(kGoldens / "llama", "absmax8");
  with_map.device_map = parse_device_map("auto", "cuda");
  with_map.max_memory = MemoryLimits{{"cpu", 1e9}};
  { const LoadedModel loaded = load_model(plugins(), with_map); }
  const auto all = slots();
  EXPECT_EQ(std::count(all.begin(), all.end(), "validate_environment"), 2);
  EXPECT_EQ(std::count(all.begin(), all.end(), "adjust_max_memory"), 1);
}

TEST_F(LoadPipeline, SavesAndLoadsTheSameBytes) {
  LoadedModel first = load_model(plugins(), options(kGoldens / "llama", "absmax8"));
  save_model(first, folder_ / "a");
  LoadedModel second = load_model(plugins(), options(folder_ / "a"));
  EXPECT_TRUE(second.quantizer->pre_quantized());
  EXPECT_TRUE(second.keys.clean()) << second.keys.text();
  save_model(second, folder_ / "b");
  for (const char* name : {"model.safetensors", "config.json"}) {
    EXPECT_EQ(read_text_file(folder_ / "a" / name), read_text_file(folder_ / "b" / name)) << name;
  }
  EXPECT_EQ(relative_error(output_of(second, "llama"), output_of(first, "llama")), 0);
}

TEST_F(LoadPipeline, DequantizesToAPlainModelWithoutAQuantizationConfig) {
  LoadedModel loaded = load_model(plugins(), options(kGoldens / "llama", "absmax8"));
  const at::Tensor quantized = output_of(loaded, "llama");
  dequantize_model(loaded, to_qh_dtype(at::kFloat));
  EXPECT_LT(relative_error(output_of(loaded, "llama"), quantized), 1e-5);
  save_model(loaded, folder_ / "dense");
  LoadedModel again = load_model(plugins(), options(folder_ / "dense"));
  EXPECT_EQ(again.quantizer, nullptr);
  EXPECT_FALSE(again.context->config().contains("quantization_config"));
}

TEST_F(LoadPipeline, KeepsPartsOnDiskWithoutQuantizingTwice) {
  LoadOptions to_disk = options(kGoldens / "llama", "absmax8");
  to_disk.device_map.map =
      device_map_from_json(Json{{"", "cpu"}, {"model.layers.0", "disk"}}, "cuda");
  to_disk.offload_folder = folder_ / "offload";
  LoadedModel offloaded = load_model(plugins(), to_disk);
  LoadedModel whole = load_model(plugins(), options(kGoldens / "llama", "absmax8"));
  EXPECT_FALSE(fs::is_empty(folder_ / "offload"));
  EXPECT_EQ(relative_error(output_of(offloaded, "llama"), output_of(whole, "llama")), 0);
}

TEST_F(LoadPipeline, AsksForAFolderBeforePartsGoToDisk) {
  LoadOptions to_disk = options(kGoldens / "llama", "absmax8");
  to_disk.device_map = parse_device_map("disk", "cuda");
  const Error error = error_of([&] { load_model(plugins(), to_disk); });
  EXPECT_EQ(error.kind(), ErrorKind::kValue);
  EXPECT_THAT(error.what(), HasSubstr("--offload-folder"));
}

TEST_F(LoadPipeline, RefusesALimitBelowNeedBeforeReadingAndSaysWhatFits) {
  LoadOptions limited = options(kGoldens / "llama", "absmax8");
  limited.max_memory = MemoryLimits{{"cpu", 10000}};
  const Error error = error_of([&] { load_model(plugins(), limited); });
  EXPECT_EQ(error.kind(), ErrorKind::kMemory);
  EXPECT_THAT(error.what(), HasSubstr("nothing was read"));
  EXPECT_THAT(error.what(), HasSubstr("--device-map"));
}

TEST_F(LoadPipeline, NamesAMissingTensor) {
  const fs::path checkpoint = copy_of("llama");
  rewrite(checkpoint, [](TensorDeclaration& t) { return t.name != "model.norm.weight"; });
  const Error error = error_of([&] { load_model(plugins(), options(checkpoint)); });
  EXPECT_EQ(error.kind(), ErrorKind::kKey);
  EXPECT_THAT(error.what(), HasSubstr("model.norm.weight"));
}

TEST_F(LoadPipeline, NamesTensorFileAndShapesOfAMismatch) {
  const fs::path checkpoint = copy_of("llama");
  rewrite(checkpoint, [](TensorDeclaration& t) {
    if (t.name == "model.norm.weight") t.shape = {3};
    return true;
  });
  const Error error = error_of([&] { load_model(plugins(), options(checkpoint)); });
  EXPECT_EQ(error.kind(), ErrorKind::kRuntime);
  EXPECT_THAT(error.what(), HasSubstr("model.norm.weight in model.safetensors has shape [3]"));
}

TEST_F(LoadPipeline, NamesThePluginTheTensorAndTheFileWhenQuantizingFails) {
  const fs::path checkpoint = copy_of("llama");
  rewrite(checkpoint, [](TensorDeclaration& t) {
    if (t.name == "model.layers.0.mlp.up_proj.weight") t.shape = {4, 4};
    return true;
  });
  const Error error = error_of([&] { load_model(plugins(), options(checkpoint, "absmax8")); });
  EXPECT_THAT(error.what(), HasSubstr("org.example.absmax8"));
  EXPECT_THAT(error.what(), HasSubstr("model.layers.0.mlp.up_proj.weight of model.safetensors"));
}

TEST_F(LoadPipeline, StopsWhenItIsCancelledWhileTensorsStream) {
  CancelToken cancel;
  Progress progress([&](const ProgressReport&) { cancel.cancel(); }, &cancel);
  LoadOptions stopped = options(kGoldens / "llama", "absmax8");
  stopped.cancel = &cancel;
  stopped.progress = &progress;
  EXPECT_EQ(error_of([&] { load_model(plugins(), stopped); }).kind(), ErrorKind::kCancelled);
  EXPECT_EQ(slots().back(), "destroy");
}

TEST_F(LoadPipeline, RefusesAMethodThatNobodyProvidesWithTheNearestName) {
  const Error error =
      error_of([&] { load_model(plugins(), options(kGoldens / "llama", "absmax9")); });
  EXPECT_THAT(error.what(), HasSubstr("absmax8"));
}

TEST_F(LoadPipeline, TrainsAroundAQuantizedLayer) {
  LoadedModel loaded = load_model(plugins(), options(kGoldens / "llama", "absmax8"));
  const auto layer = loaded.context->plugin_modules().front();
  at::Tensor x = at::ones({2, layer->describe().in_features}).set_requires_grad(true);
  layer->forward(x).sum().backward();
  const at::Tensor weight = layer->dequantize(to_qh_dtype(at::kFloat));
  EXPECT_LT(relative_error(x.grad(), weight.sum(0).expand_as(x)), 1e-5);
}

}  // namespace
}  // namespace quanthost

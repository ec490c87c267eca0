// A real plugin quantizes real (small) checkpoints while they load, through the whole pipeline.
#include <fcntl.h>

#include "tests/load/load_fixture.hpp"

namespace quanthost {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

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

TEST_F(LoadPipeline, HoldsNothingOfTheFilesWhenToldNotToMapThem) {
  const fs::path model = copy_of("llama");
  LoadOptions how = options(model);
  how.map_files = false;
  LoadedModel copied = load_model(plugins(), how);
  EXPECT_EQ(copied.stats.bytes_read, copied.checkpoint->total_bytes());
  const fs::path file = model / "model.safetensors";
  const std::string zeros(fs::file_size(file), '\0');
  const int overwritten = ::open(file.c_str(), O_WRONLY);
  ASSERT_EQ(::pwrite(overwritten, zeros.data(), zeros.size(), 0),
            static_cast<ssize_t>(zeros.size()));
  ::close(overwritten);
  const at::Tensor wanted = stored(kGoldens / "llama/expected.safetensors", "output");
  EXPECT_LT(relative_error(output_of(copied, "llama"), wanted), 1e-4);
}

TEST_F(LoadPipeline, KeepsMatricesSmallInAFloat32ModelThatOnlyRuns) {
  LoadOptions how = options(kGoldens / "llama");
  how.dtype = "bfloat16";
  LoadedModel stored_small = load_model(plugins(), how);
  save_model(stored_small, folder_ / "small");
  how = options(folder_ / "small");
  how.dtype = "float32";
  LoadedModel wide = load_model(plugins(), how);
  how.keep_small_types = true;
  LoadedModel kept = load_model(plugins(), how);
  EXPECT_EQ(kept.context->get_param("model.layers.0.mlp.up_proj.weight").scalar_type(),
            at::kBFloat16);
  EXPECT_EQ(kept.context->get_param("model.norm.weight").scalar_type(), at::kFloat);
  EXPECT_LT(kept.stats.model_bytes, wide.stats.model_bytes * 6 / 10);
  EXPECT_TRUE(at::equal(output_of(kept, "llama"), output_of(wide, "llama")));
  how.quantization = user_quantization("absmax8", {});
  const LoadedModel quantized = load_model(plugins(), how);
  EXPECT_EQ(quantized.context->get_param("lm_head.weight").scalar_type(), at::kFloat);
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
  EXPECT_THAT(error.what(), HasSubstr("a device map that fits"));
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

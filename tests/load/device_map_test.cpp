#include "host/load/device_map.hpp"

#include <gmock/gmock.h>

#include "host/load/balanced_memory.hpp"

namespace quanthost {
namespace {

using Map = std::map<std::string, std::string>;

Map as_map(const DeviceMap& map) { return {map.entries().begin(), map.entries().end()}; }

ModuleOutline leaf(const std::string& name, double bytes) {
  return {name, "Linear", {{"weight", bytes}}, {}, {}};
}

// Llama with hidden and intermediate size 64, 4 layers, 4 heads and 2 key-value heads, 64 tokens,
// tied, float16. `weight_bytes`: of one element of a projection in a layer.
ModelOutline small_llama(double weight_bytes) {
  const auto projection = [&](const std::string& name, int out) {
    return leaf(name, out * 64 * weight_bytes);
  };
  ModuleOutline layers{"layers", "ModuleList", {}, {}, {}};
  for (int i = 0; i < 4; ++i) {
    ModuleOutline attention{"self_attn", "LlamaAttention", {}, {}, {}};
    attention.children = {projection("q_proj", 64), projection("k_proj", 32),
                          projection("v_proj", 32), projection("o_proj", 64)};
    ModuleOutline mlp{"mlp", "LlamaMLP", {}, {}, {}};
    mlp.children = {projection("gate_proj", 64),
                    projection("up_proj", 64),
                    projection("down_proj", 64),
                    {"act_fn", "SiLU", {}, {}, {}}};
    ModuleOutline layer{std::to_string(i), "LlamaDecoderLayer", {}, {}, {}};
    layer.children = {attention, mlp, leaf("input_layernorm", 128),
                      leaf("post_attention_layernorm", 128)};
    layers.children.push_back(layer);
  }
  ModuleOutline model{"model", "LlamaModel", {}, {}, {}};
  const ModuleOutline rotary{"rotary_emb", "LlamaRotaryEmbedding", {}, {{"inv_freq", 32}}, {}};
  model.children = {leaf("embed_tokens", 8192), layers, leaf("norm", 128), rotary};
  ModelOutline outline;
  outline.root = {"", "LlamaForCausalLM", {}, {}, {model, leaf("lm_head", 8192)}};
  outline.tied = {{"lm_head.weight", "model.embed_tokens.weight"}};
  outline.no_split_classes = {"LlamaDecoderLayer"};
  return outline;
}

TEST(ModuleSizes, CountTiedParametersOnceAndBuffersToo) {
  const auto sizes = module_sizes(small_llama(2));
  EXPECT_EQ(sizes.at(""), 205984);
  EXPECT_EQ(sizes.at("model.embed_tokens"), 8192);
  EXPECT_EQ(sizes.at("model.layers.0"), 49408);
  EXPECT_EQ(sizes.at("model.rotary_emb"), 32);
  EXPECT_FALSE(sizes.contains("lm_head"));
}

TEST(InferDeviceMap, KeepsRoomOnTheFirstDeviceForTheLargestLayer) {
  const DeviceMap map =
      infer_device_map(small_llama(2), {{"cuda:0", 70000}, {"cuda:1", 90000}, {"cpu", 1000000}});
  EXPECT_EQ(as_map(map), (Map{{"model.embed_tokens", "cuda:0"},
                              {"lm_head", "cuda:0"},
                              {"model.layers.0", "cuda:1"},
                              {"model.layers.1", "cpu"},
                              {"model.layers.2", "cpu"},
                              {"model.layers.3", "cpu"},
                              {"model.norm", "cpu"},
                              {"model.rotary_emb", "cpu"}}));
}

TEST(InferDeviceMap, UsesTheSizesAfterQuantization) {
  const ModelOutline model = small_llama(0.5);
  EXPECT_EQ(module_sizes(model).at(""), 58528);
  const DeviceMap map =
      infer_device_map(model, {{"cuda:0", 45000}, {"cuda:1", 90000}, {"cpu", 1000000}});
  EXPECT_EQ(as_map(map), (Map{{"model.embed_tokens", "cuda:0"},
                              {"lm_head", "cuda:0"},
                              {"model.layers.0", "cuda:0"},
                              {"model.layers.1", "cuda:1"},
                              {"model.layers.2", "cuda:1"},
                              {"model.layers.3", "cuda:1"},
                              {"model.norm", "cuda:1"},
                              {"model.rotary_emb", "cuda:1"}}));
}

TEST(InferDeviceMap, IsOneEntryWhenTheModelFitsOneDevice) {
  EXPECT_EQ(as_map(infer_device_map(small_llama(2), {{"cpu", 1000000}})), (Map{{"", "cpu"}}));
}

TEST(InferDeviceMap, PutsOnDiskWhatFitsNowhere) {
  EXPECT_EQ(as_map(infer_device_map(small_llama(2), {{"cpu", 0}})), (Map{{"", "disk"}}));
}

TEST(BalancedMemory, LeavesTheLastDeviceItsWholeLimit) {
  const MemoryLimits shares =
      balanced_memory(small_llama(2), {{"cuda:0", 1e6}, {"cuda:1", 1e6}, {"cpu", 1e6}},
                      FirstDevice::kFullShare, LimitsFrom::kUser);
  EXPECT_EQ(shares, (MemoryLimits{{"cuda:0", 205984 / 2 + 61760}, {"cuda:1", 1e6}, {"cpu", 1e6}}));
}

TEST(BalancedMemory, KeepsATenthOfASingleMeasuredDeviceFree) {
  const auto shares = balanced_memory(small_llama(2), {{"cuda:0", 1000}, {"cpu", 50}},
                                      FirstDevice::kKeepFree, LimitsFrom::kMeasuredFreeMemory);
  EXPECT_EQ(shares, (MemoryLimits{{"cuda:0", 900}, {"cpu", 50}}));
}

TEST(BalancedMemory, ChangesNothingWithoutAnAccelerator) {
  const MemoryLimits limits{{"cpu", 7}};
  EXPECT_EQ(balanced_memory(small_llama(2), limits, FirstDevice::kFullShare, LimitsFrom::kUser),
            limits);
}

TEST(DeviceMap, FindsTheLongestEntryThatCoversAName) {
  const DeviceMap map({{"model", "cpu"}, {"model.layers.1", "cuda:0"}});
  EXPECT_EQ(map.find("model.layers.1.mlp"), "cuda:0");
  EXPECT_EQ(map.find("model.layers.11.mlp"), "cpu");
  EXPECT_EQ(map.find("lm_head"), std::nullopt);
}

TEST(DeviceMap, ReadsStrategiesDevicesAndMaps) {
  EXPECT_EQ(parse_device_map("balanced_low_0", "cuda").strategy, DeviceStrategy::kBalancedLow0);
  EXPECT_EQ(as_map(*parse_device_map("1", "cuda").map), (Map{{"", "cuda:1"}}));
  EXPECT_EQ(as_map(*parse_device_map("cuda", "cuda").map), (Map{{"", "cuda:0"}}));
  EXPECT_EQ(as_map(*parse_device_map(R"({"model": 0, "lm_head": "disk"})", "hip").map),
            (Map{{"model", "hip:0"}, {"lm_head", "disk"}}));
  EXPECT_THROW(parse_device_map("-1", "cuda"), Error);
  EXPECT_THROW(parse_device_map(R"({"model": []})", "cuda"), Error);
  EXPECT_THROW(parse_device_map("{}", "cuda"), Error);
}

TEST(MemoryLimits, ReadsUnitsAsAccelerateDoes) {
  EXPECT_EQ(parse_byte_size("1MiB"), 1048576);
  EXPECT_EQ(parse_byte_size("5GB"), 5e9);
  EXPECT_EQ(parse_byte_size("5Gb"), 5e9 / 8);
  EXPECT_EQ(parse_byte_size("0.5gib"), 536870912);
  EXPECT_EQ(parse_byte_size("123"), 123);
  for (const char* wrong : {"", "GB", "five", "-1GB", "1.5", "5 PB", "nanGB"})
    EXPECT_THROW(parse_byte_size(wrong), Error) << wrong;
}

TEST(MemoryLimits, AreSortedByDevice) {
  EXPECT_EQ(parse_memory_limits("cpu=2KB,10=1KB,2=3KB", "cuda"),
            (MemoryLimits{{"cuda:2", 3000}, {"cuda:10", 1000}, {"cpu", 2000}}));
  EXPECT_EQ(parse_memory_limits(R"({"cpu": "1KiB", "0": 5})", "cuda"),
            (MemoryLimits{{"cuda:0", 5}, {"cpu", 1024}}));
  EXPECT_THROW(parse_memory_limits("10GB", "cuda"), Error);
  EXPECT_THROW(parse_memory_limits("0=1GB,cuda:0=1GB", "cuda"), Error);
}

}  // namespace
}  // namespace quanthost

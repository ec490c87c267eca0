// What is estimated from headers, held against what loads measure.
#include "host/load/estimate.hpp"

#include <ATen/ops/empty.h>

#include "host/model/kv_cache.hpp"
#include "tests/load/load_fixture.hpp"

namespace quanthost {
namespace {

struct Quantized {
  const char* method;
  std::vector<std::string> settings;
};

class Estimates : public LoadPipeline, public testing::WithParamInterface<Quantized> {};

class Estimate : public LoadPipeline {};

std::uint64_t model_bytes(const MemoryNeeds& needs) {
  std::uint64_t sum = 0;
  for (const DeviceNeeds& device : needs.devices) sum += device.model();
  return sum;
}

const DeviceNeeds& needs_on(const MemoryNeeds& needs, const std::string& device) {
  for (const DeviceNeeds& found : needs.devices) {
    if (found.device == device) return found;
  }
  throw std::runtime_error("no estimate for " + device);
}

TEST_P(Estimates, TheModelThatIsLoaded) {
  for (const char* golden : {"llama", "qwen2", "opt"}) {
    Trace trace;
    LoadOptions how = options(kGoldens / golden);
    how.quantization = user_quantization(GetParam().method, GetParam().settings);
    how.trace = &trace;
    LoadedModel planned = plan_load(plugins(), how);
    const MemoryNeeds needs = estimate_memory(planned, {});
    EXPECT_TRUE(needs.untold.empty()) << golden << ": " << needs.untold.front();
    for (const Trace::Event& event : trace.events()) ASSERT_NE(event.name, "read");
    const LoadedModel loaded = load_model(plugins(), how);
    const auto measured = static_cast<double>(loaded.stats.model_bytes);
    EXPECT_NEAR(static_cast<double>(model_bytes(needs)), measured, 0.01 * measured) << golden;
  }
}

TEST_P(Estimates, TheModelThatWasSaved) {
  if (*GetParam().method == '\0') GTEST_SKIP() << "about quantized checkpoints";
  LoadOptions how = options(kGoldens / "llama");
  how.quantization = user_quantization(GetParam().method, GetParam().settings);
  LoadedModel first = load_model(plugins(), how);
  save_model(first, folder_ / "saved");
  LoadedModel planned = plan_load(plugins(), options(folder_ / "saved"));
  const MemoryNeeds needs = estimate_memory(planned, {});
  const LoadedModel loaded = load_model(plugins(), options(folder_ / "saved"));
  const auto measured = static_cast<double>(loaded.stats.model_bytes);
  // What is stored to describe a layer, such as 80 bytes of JSON, weighs in a model of 40 kB.
  EXPECT_NEAR(static_cast<double>(model_bytes(needs)), measured, 0.15 * measured);
}

INSTANTIATE_TEST_SUITE_P(
    Methods, Estimates,
    testing::Values(Quantized{"", {}}, Quantized{"absmax8", {}},
                    Quantized{"bitsandbytes_4bit", {"bnb_4bit_quant_type=nf4"}},
                    Quantized{"bitsandbytes_4bit", {"bnb_4bit_use_double_quant=true"}},
                    Quantized{"quanto", {"weights=int8"}}, Quantized{"quanto", {"weights=int4"}}));

TEST_F(Estimate, TheCacheThatTheModelMakes) {
  LoadedModel planned = plan_load(plugins(), options(kGoldens / "llama"));
  EstimateOptions how;
  how.context = 77;
  how.batch = 3;
  const model::KvCache cache(planned.model->config(), how.batch, how.context,
                             at::TensorOptions().dtype(planned.dtype));
  const MemoryNeeds needs = estimate_memory(planned, how);
  EXPECT_EQ(needs_on(needs, "cpu").kv_cache, static_cast<std::uint64_t>(cache.bytes()));
  how.context *= 2;
  EXPECT_EQ(needs_on(estimate_memory(planned, how), "cpu").kv_cache,
            static_cast<std::uint64_t>(2 * cache.bytes()));
}

TEST_F(Estimate, HasNoCacheForAModelThatSeesItsWholeInput) {
  LoadedModel planned = plan_load(plugins(), options(kGoldens / "bert"));
  EXPECT_EQ(needs_on(estimate_memory(planned, {}), "cpu").kv_cache, 0u);
}

TEST_F(Estimate, DividesAModelAsItsMapDoes) {
  LoadOptions spread = options(kGoldens / "llama", "absmax8");
  spread.device_map =
      parse_device_map(R"({"": "emulated:0", "model.layers.1": "emulated:1"})", "cuda");
  LoadedModel planned = plan_load(plugins(), spread);
  const MemoryNeeds needs = estimate_memory(planned, {});
  LoadedModel whole = plan_load(plugins(), options(kGoldens / "llama", "absmax8"));
  EXPECT_EQ(model_bytes(needs), model_bytes(estimate_memory(whole, {})));
  const DeviceNeeds &first = needs_on(needs, "emulated:0"), &second = needs_on(needs, "emulated:1");
  EXPECT_GT(first.weights, second.weights);
  EXPECT_EQ(first.kv_cache, second.kv_cache);
  EXPECT_GT(second.overhead, 0u);
  EXPECT_EQ(needs_on(needs, "cpu").model(), 0u);
  EXPECT_GT(needs_on(needs, "cpu").loading, 0u) << "read-ahead lies on the host";
}

}  // namespace
}  // namespace quanthost

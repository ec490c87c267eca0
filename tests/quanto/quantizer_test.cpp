// The quantizer's decisions, errors and saved layout, on the conformance suite's mock model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "quantizer/options.hpp"
#include "quantizer/qmap.hpp"
#include "tests/conformance/plugin_subject.hpp"
#include "tests/folders.hpp"

namespace quanthost::conformance {
namespace {

using ::testing::HasSubstr;
using Options = MockLoad::Options;

// The packages of a session: the CPU provider of this build, and an accelerate of the host's.
Subject make_subject() {
  const std::string plugin = test::built_plugin("qh_quanto");
  return {plugin,
          manifest_of(plugin),
          1,
          {{"accelerate", bare_package("1.15.0")},
           {"quanto", provided_package("quanto", "0.2.7", test::built_plugin("qh_quanto_cpu"))}}};
}

// The plugin with what its manifest says, and packages whose versions a test may change.
struct Quanto {
  MockHost host;
  Subject subject = make_subject();

  MockLoad load(Options options = {}) {
    if (options.dtype.bits == 0) options.dtype = qh::kFloat32;
    return MockLoad(host, subject, subject.manifest.quantizers.at(0), std::move(options));
  }
};

TEST(QuantoQuantizer, RefusesActivationsForAModelThatIsNotPreQuantized) {
  Quanto q;
  EXPECT_THAT(failure_of([&] {
                q.load({.config = {{"activations", "int8"}}});
              }),
              HasSubstr("We don't support quantizing the activations"));
  MockLoad load = q.load({.pre_quantized = true, .config = {{"activations", "int8"}}});
}

TEST(QuantoQuantizer, TakesActivationsWithDataToFindTheirScalesOn) {
  Quanto q;
  MockLoad load = q.load({.config = {{"activations", "int8"}, {"calibration", "texts.txt"}}});
  EXPECT_THAT(failure_of([&] { load.load(); }), HasSubstr("this host does not offer qh.forward/1"));
  EXPECT_THAT(failure_of([&] {
                q.load({.config = {{"calibration", "texts.txt"}}});
              }),
              HasSubstr("calibration data is for quantized activations only"));
  EXPECT_THAT(failure_of([&] {
                q.load({.config = {{"activations", "int8"},
                                   {"calibration", "texts.txt"},
                                   {"calibration_momentum", 1.0}}});
              }),
              HasSubstr("calibration_momentum has to be at least 0 and below 1"));
}

TEST(QuantoQuantizer, RefusesAMapWithActivationsOfADenseWeight) {
  Quanto q;
  MockLoad load = q.load({.pre_quantized = true});
  load.model().files["quanto_qmap.json"] =
      R"({"model.layers.0.up_proj": {"weights": "none", "activations": "qint8"}})";
  EXPECT_EQ(load.before_load(), QH_ERR_NOT_IMPLEMENTED);
  EXPECT_THAT(
      q.host.take_error().message,
      HasSubstr("quantizes what passes through 'model.layers.0.up_proj' but not its weight"));
}

TEST(QuantoQuantizer, RefusesTypesThatDoNotExist) {
  Quanto q;
  EXPECT_THAT(
      failure_of([&] {
        q.load({.config = {{"weights", "int3"}}});
      }),
      HasSubstr("Only support weights in ['float8', 'int8', 'int4', 'int2'] but found int3"));
  EXPECT_THAT(failure_of([&] {
                q.load({.pre_quantized = true, .config = {{"activations", "int4"}}});
              }),
              HasSubstr("Only support activations in [None, 'int8', 'float8'] but found int4"));
  EXPECT_THAT(failure_of([&] {
                q.load({.config = {{"optimizer", "hqq"}}});
              }),
              HasSubstr("optimizer hqq is for weights in int2 and int4"));
}

TEST(QuantoQuantizer, NamesThePackageThatIsMissing) {
  Quanto q;
  MockLoad load = q.load();
  const qh_environment environment{sizeof(environment), 0, {}, 0, {nullptr, 0}, {nullptr, 0}};
  const qh_diagnostic_sink ignore{
      nullptr, [](void*, std::int32_t, qh_str, qh_str) -> qh_status { return QH_OK; }};
  EXPECT_EQ(load.api().validate_environment(load.quantizer(), &environment, ignore), QH_OK);
  for (const char* package : {"accelerate", "quanto"}) {
    q.host.packages = q.subject.packages;
    q.host.packages.erase(package);
    EXPECT_EQ(load.api().validate_environment(load.quantizer(), &environment, ignore),
              QH_ERR_IMPORT);
    EXPECT_THAT(q.host.take_error().message, HasSubstr(std::string(package) + " was not found"));
  }
}

TEST(QuantoQuantizer, LeavesTheElementTypeDefaultsToTheCpuAndKeepsATenthOfTheMemory) {
  Quanto q;
  MockLoad load = q.load();
  for (const qh_dtype asked : {qh::kNoDtype, qh::kBfloat16}) {
    qh_dtype dtype = qh::kFloat32;
    ASSERT_EQ(load.api().update_torch_dtype(load.quantizer(), asked, &dtype), QH_OK);
    EXPECT_TRUE(dtype == asked);
  }

  std::string map;
  const qh_pair_sink pairs{&map, [](void* ctx, qh_str key, qh_str value) -> qh_status {
                             *static_cast<std::string*>(ctx) +=
                                 "'" + std::string(qh::from_abi(key)) + "' " +
                                 std::string(qh::from_abi(value));
                             return QH_OK;
                           }};
  ASSERT_EQ(load.api().update_device_map(load.quantizer(), 0, {nullptr, 0}, pairs), QH_OK);
  EXPECT_EQ(map, "'' cpu");

  const qh_memory_limit limit{qh::to_abi("cpu"), 1000.0};
  double bytes = 0;
  const qh_memory_sink memory{&bytes, [](void* ctx, qh_str, double b) -> qh_status {
                                *static_cast<double*>(ctx) = b;
                                return QH_OK;
                              }};
  ASSERT_EQ(load.api().adjust_max_memory(load.quantizer(), &limit, 1, memory), QH_OK);
  EXPECT_DOUBLE_EQ(bytes, 900.0);
}

TEST(QuantoQuantizer, SizesByTheQuantizedTypeWithAnAccelerateThatKnowsIt) {
  const std::pair<const char*, qh_dtype> targets[] = {{"int8", qh::kInt8},
                                                      {"int4", qh::kInt4},
                                                      {"int2", qh::kInt2},
                                                      {"float8", qh::kFloat8E4m3fn},
                                                      {"float8_e5m2", qh::kFloat8E5m2}};
  for (const auto& [weights, expected] : targets) {
    Quanto q;
    MockLoad load = q.load({.config = {{"weights", weights}}});
    qh_dtype target{};
    ASSERT_EQ(load.api().adjust_target_dtype(load.quantizer(), qh::kFloat32, &target), QH_OK);
    EXPECT_TRUE(target == expected) << weights;
    q.host.packages["accelerate"].version = "0.27.0";
    EXPECT_EQ(load.api().adjust_target_dtype(load.quantizer(), qh::kFloat32, &target),
              QH_ERR_VALUE);
    EXPECT_THAT(q.host.take_error().message, HasSubstr("accelerate > 0.27.0; found is 0.27.0"));
  }
}

TEST(QuantoQuantizer, LeavesTheCpuPartOfASpreadModelForLater) {
  Quanto q;
  MockLoad load = q.load();
  ASSERT_EQ(load.before_load(), QH_OK);
  const auto wanted = [&](std::vector<std::pair<const char*, const char*>> map,
                          const char* device) {
    std::vector<qh_pair> pairs;
    for (const auto& [module, where] : map)
      pairs.push_back({qh::to_abi(module), qh::to_abi(where)});
    const char* name = "model.layers.0.up_proj.weight";
    const qh_param_query query{sizeof(query),      0,
                               qh::to_abi(name),   &load.model().checkpoint.at(name).view(),
                               qh::to_abi(device), {pairs.data(), pairs.size()}};
    std::int32_t out = -1;
    EXPECT_EQ(
        load.api().check_quantized_param(load.quantizer(), load.model().handle(), &query, &out),
        QH_OK);
    return out == 1;
  };
  EXPECT_TRUE(wanted({{"", "cpu"}}, "cpu"));
  EXPECT_TRUE(wanted({{"model", "cpu"}, {"lm_head", "disk"}}, "cpu"));
  EXPECT_FALSE(wanted({{"model", "cpu"}, {"lm_head", "cuda:0"}}, "cpu"));
  EXPECT_TRUE(wanted({{"model", "cuda:0"}, {"lm_head", "cpu"}}, "cuda:0"));
}

TEST(QuantoQuantizer, ReportsOnlyWeightsAndBiasesAsMissing) {
  Quanto q;
  MockLoad load = q.load();
  ASSERT_EQ(load.before_load(), QH_OK);
  std::vector<qh_str> keys;
  for (const char* key : {"model.layers.0.up_proj.weight", "model.layers.0.up_proj.bias",
                          "model.layers.0.up_proj.input_scale",
                          "model.layers.0.up_proj.output_scale", "lm_head.weight"})
    keys.push_back(qh::to_abi(key));
  std::vector<std::string> left;
  ASSERT_EQ(load.api().update_missing_keys(load.quantizer(), load.model().handle(),
                                           {keys.data(), keys.size()}, qh::to_abi(""),
                                           qh::string_sink(left)),
            QH_OK);
  EXPECT_THAT(left, ::testing::ElementsAre("model.layers.0.up_proj.weight",
                                           "model.layers.0.up_proj.bias", "lm_head.weight"));
}

TEST(QuantoQuantizer, SavesOptimumQuantosKeysAndMap) {
  Quanto q;
  MockLoad load = q.load({.dtype = qh::kBfloat16, .config = {{"weights", "int4"}}});
  load.load();
  const SavedModel saved = load.save();
  const auto is = [&](const char* name, const char* description) {
    ASSERT_TRUE(saved.contains(name)) << name;
    EXPECT_EQ(saved.at(name).description, description) << name;
  };
  is("model.layers.0.up_proj.weight._data._data", "uint8 [48, 128]");
  is("model.layers.0.up_proj.weight._scale", "bfloat16 [96, 1]");
  is("model.layers.0.up_proj.weight._shift", "bfloat16 [96, 1]");
  is("model.layers.0.up_proj.bias", "bfloat16 [96]");
  is("model.layers.0.up_proj.input_scale", "bfloat16 []");
  is("model.layers.0.up_proj.output_scale", "bfloat16 []");
  // 160 columns are cut into groups of 32, so 64 outputs have 320 scales and 160 packed rows.
  is("model.layers.0.down_proj.weight._data._data", "uint8 [160, 32]");
  is("model.layers.0.down_proj.weight._scale", "bfloat16 [320, 1]");

  std::map<std::string, std::string> files;
  ASSERT_EQ(load.api().saved_files(
                load.quantizer(), load.model().handle(),
                {&files,
                 [](void* ctx, qh_str name, qh_str content) -> qh_status {
                   (*static_cast<decltype(files)*>(ctx))[std::string(qh::from_abi(name))] =
                       qh::from_abi(content);
                   return QH_OK;
                 }}),
            QH_OK);
  const auto map = nlohmann::ordered_json::parse(files.at("quanto_qmap.json"));
  EXPECT_EQ(map.size(), 3u) << "the output head stays as it is";
  EXPECT_EQ(map.at("model.layers.0.up_proj").dump(), R"({"weights":"qint4","activations":"none"})");
  EXPECT_THAT(files.at("quanto_qmap.json"),
              HasSubstr("\n    \"model.layers.0.up_proj\": {\n        \"weights\""));
}

TEST(QuantoQuantizer, LoadsWhatItSavedByItsMapAndSavesTheSameBytes) {
  for (const char* weights : {"int2", "int4", "int8", "float8", "float8_e4m3fnuz", "float8_e5m2"}) {
    Quanto q;
    MockLoad first = q.load({.config = {{"weights", weights}}});
    first.load();
    const SavedModel saved = first.save();
    // The map decides, not the options of the second load.
    MockLoad second = q.load({.config = {{"weights", "int8"}}});
    quanto::QuantizationMap map;
    for (MockModule* module : first.replaced()) {
      map.emplace_back(module->name,
                       quanto::MapEntry{quanto::qtype_from_config(weights), std::nullopt});
      second.model().checkpoint.erase(module->name + ".weight");
    }
    second.model().files["quanto_qmap.json"] = quanto::write_map(map);
    for (auto& [name, tensor] : first.saved_tensors()) {
      Owned copy(make_tensor(tensor.view().dtype, shape_of(tensor.view())));
      copy_elements(tensor.view(), copy.view());
      second.model().checkpoint[name] = std::move(copy);
    }
    second.load();
    EXPECT_EQ(second.save(), saved) << weights;
  }
}

TEST(QuantizationMap, RefusesWhatItDoesNotKnow) {
  EXPECT_THROW(quanto::parse_map("[1]"), qh::Error);
  EXPECT_THROW(quanto::parse_map("{"), qh::Error);
  EXPECT_THROW(quanto::parse_map(R"({"a": {"weights": "qint3", "activations": "none"}})"),
               qh::Error);
  EXPECT_THROW(quanto::parse_map(R"({"a": {"weights": "qint4"}})"), qh::Error);
  const auto map = quanto::parse_map(R"({"a": {"weights": "qfloat8", "activations": "qint8"}})");
  EXPECT_EQ(map.at(0).second.weights, quanto::QType::float8_e4m3fn);
  EXPECT_EQ(map.at(0).second.activations, quanto::QType::int8);
}

}  // namespace
}  // namespace quanthost::conformance

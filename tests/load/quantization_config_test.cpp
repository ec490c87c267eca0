#include "host/load/quantization_config.hpp"

#include <gmock/gmock.h>

#include "host/load/config_fields.hpp"
#include "tests/error_of.hpp"

namespace quanthost {
namespace {

using testing::HasSubstr;

QuantizerSpec sample() {
  QuantizerSpec spec;
  spec.method = "sample_4bit";
  spec.quant_method = "sample";
  spec.match = {{"load_in_4bit", true}};
  ConfigField bits;
  bits.name = "bits";
  bits.type = "int";
  bits.default_value = 4;
  bits.min = 2;
  bits.max = 8;
  ConfigField group;
  group.name = "group_size";
  group.type = "int";
  group.default_value = 128;
  ConfigField backend;
  backend.name = "backend";
  backend.type = "string";
  backend.default_value = "auto";
  backend.loading = true;
  spec.config = {bits, group, backend};
  return spec;
}

TEST(UserQuantization, ReadsValuesAsYaml) {
  const auto user =
      user_quantization("m", {"a=4", "b=true", "c=0.5", "d=[x, y]", "e=nf4", "f=\"4\""});
  EXPECT_EQ(user.values,
            (OrderedJson{
                {"a", 4}, {"b", true}, {"c", 0.5}, {"d", {"x", "y"}}, {"e", "nf4"}, {"f", "4"}}));
}

TEST(UserQuantization, RefusesSettingsWithoutAMethodOrAKey) {
  EXPECT_THAT(error_of([] { user_quantization("", {"a=1"}); }).what(), HasSubstr("--method"));
  EXPECT_THAT(error_of([] { user_quantization("m", {"=1"}); }).what(), HasSubstr("key=value"));
  EXPECT_THAT(error_of([] { user_quantization("m", {"a=1", "a=2"}); }).what(), HasSubstr("twice"));
}

// An application that embeds the host never heard of --set.
TEST(UserQuantization, SpeaksOfTheOptionsAsTheCallerNamesThem) {
  const OptionNames names{"LoadOptions::method", "settings", "quantization_file", {}, {}, {}, {},
                          "Host::methods()"};
  const auto refused = [&](const QuantizationRequest& request) {
    return error_of([&] { user_quantization(request, names); });
  };
  const Error alone = refused({"", {{"a", "1"}}, {}});
  EXPECT_EQ(alone.message(),
            "settings is given without LoadOptions::method, whose options it changes");
  EXPECT_THAT(alone.hint(), HasSubstr("Host::methods()"));
  EXPECT_THAT(refused({"m", {{"a", "1"}, {"a", "2"}}, {}}).what(), HasSubstr("settings gives"));
  EXPECT_THAT(refused({"m", {{"a", "[1"}}, {}}).what(), HasSubstr("settings a"));
  EXPECT_THAT(refused({"m", {}, "x.yaml"}).what(), HasSubstr("quantization_file"));
  EXPECT_EQ(refused({"", {}, "/no/such/file.yaml"}).kind(), ErrorKind::kOs);
}

TEST(ConfigForQuantizing, FillsDefaultsAndTheMatchRule) {
  const auto spec = sample();
  const MethodConfig config =
      config_for_quantizing(spec, user_quantization("sample_4bit", {"bits=3"}));
  EXPECT_FALSE(config.pre_quantized);
  EXPECT_EQ(config.merged, (OrderedJson{{"quant_method", "sample"},
                                        {"load_in_4bit", true},
                                        {"bits", 3},
                                        {"group_size", 128},
                                        {"backend", "auto"}}));
  EXPECT_FALSE(config.values[0].is_default);
  EXPECT_TRUE(config.values[1].is_default);
}

TEST(ConfigForQuantizing, NamesTheNearestOptionForAnUnknownOne) {
  const auto spec = sample();
  const Error error = error_of(
      [&] { config_for_quantizing(spec, user_quantization("sample_4bit", {"groupsize=64"})); });
  EXPECT_EQ(error.kind(), ErrorKind::kValue);
  EXPECT_THAT(error.what(), HasSubstr("did you mean \"group_size\"?"));
}

TEST(ConfigForQuantizing, RefusesWrongTypesAndRanges) {
  const auto spec = sample();
  for (const char* wrong : {"bits=9", "bits=four", "backend=7"}) {
    const Error error =
        error_of([&] { config_for_quantizing(spec, user_quantization("sample_4bit", {wrong})); });
    EXPECT_TRUE(error.kind() == ErrorKind::kValue || error.kind() == ErrorKind::kType) << wrong;
    EXPECT_THAT(error.what(), HasSubstr("--set")) << wrong;
  }
}

const OrderedJson kStored{
    {"quant_method", "sample"}, {"load_in_4bit", true}, {"bits", 8}, {"extra", {1, 2}}};

TEST(ConfigForPreQuantized, TakesTheCheckpointsConfigAndKeepsUnknownKeys) {
  const auto spec = sample();
  const MethodConfig config = config_for_pre_quantized(spec, kStored, {});
  EXPECT_TRUE(config.pre_quantized);
  EXPECT_TRUE(config.warnings.empty());
  EXPECT_EQ(config.merged, kStored);
  EXPECT_EQ(config.values[0].value, OrderedJson(8));
}

TEST(ConfigForPreQuantized, LetsOnlyLoadingAttributesThroughAndSaysWhatItIgnores) {
  const auto spec = sample();
  const MethodConfig config = config_for_pre_quantized(
      spec, kStored, user_quantization("sample_4bit", {"bits=3", "backend=fast"}));
  EXPECT_EQ(config.values[0].value, OrderedJson(8));
  EXPECT_EQ(config.values[2].value, OrderedJson("fast"));
  ASSERT_EQ(config.warnings.size(), 1u);
  EXPECT_THAT(config.warnings[0], HasSubstr("(backend)"));
  EXPECT_THAT(config.warnings[0], HasSubstr("ignored: bits"));
}

TEST(ConfigForPreQuantized, RefusesAnotherMethodNamingBoth) {
  const auto spec = sample();
  const Error error =
      error_of([&] { config_for_pre_quantized(spec, kStored, user_quantization("other", {})); });
  EXPECT_EQ(error.kind(), ErrorKind::kValue);
  EXPECT_THAT(error.what(), HasSubstr("quantized with sample_4bit, but other was asked for"));
}

TEST(QuantoMap, GivesTheTypesThatMostModulesHave) {
  const Json map = Json::parse(R"({
    "a": {"weights": "qint8", "activations": "none"}, "b": {"weights": "qint4", "activations": "qint8"},
    "c": {"weights": "qint4", "activations": "qint8"}, "norm": {"weights": "none", "activations": "qint8"}})");
  EXPECT_EQ(
      config_of_quanto_map(map),
      OrderedJson({{"quant_method", "quanto"}, {"weights", "int4"}, {"activations", "int8"}}));
  EXPECT_EQ(config_of_quanto_map(
                Json::parse(R"({"a": {"weights": "qfloat8_e4m3fn", "activations": "none"}})")),
            OrderedJson({{"quant_method", "quanto"}, {"weights", "float8"}}));
  EXPECT_EQ(config_of_quanto_map(Json::parse(
                R"({"a": {"weights": "qfloat8_e5m2", "activations": "none"}})"))["weights"],
            "float8_e5m2");
}

TEST(ConfigFields, HandOverTypedValuesAndUnknownKeysAsJson) {
  const auto spec = sample();
  const MethodConfig config = config_for_pre_quantized(spec, kStored, {});
  const ConfigFields fields(config);
  ASSERT_EQ(fields.size(), 6u);  // three declared, quant_method, load_in_4bit and extra
  EXPECT_EQ(fields.data()[0].type, QH_CONFIG_INT);
  EXPECT_EQ(fields.data()[0].integer, 8);
  EXPECT_EQ(fields.data()[1].is_default, 1);
  EXPECT_EQ(fields.data()[2].type, QH_CONFIG_STRING);
  EXPECT_EQ(fields.data()[5].type, QH_CONFIG_JSON);
  EXPECT_EQ(std::string(fields.data()[5].text.data, fields.data()[5].text.size), "[1,2]");
}

}  // namespace
}  // namespace quanthost

#include "host/plugins/manifest.hpp"

#include <gmock/gmock.h>

#include "host/base/error.hpp"
#include "host/plugins/yaml.hpp"

namespace quanthost {
namespace {

using ::testing::HasSubstr;

constexpr const char* kHead = "manifest: 1\nid: org.x.y\nversion: 1.2.3\nabi: \"1.0\"\n";

std::string refusal(const std::string& yaml) {
  try {
    Manifest::parse(yaml, "plugin.yaml");
    return "was accepted";
  } catch (const Error& e) {
    return e.message();
  }
}

TEST(Manifest, ReadsEverythingAQuantizerSays) {
  const Manifest m = Manifest::parse(std::string(kHead) + R"(
license: Apache-2.0
provides:
  quantizers:
    - method: bitsandbytes_4bit
      quant_method: bitsandbytes
      match: {load_in_4bit: true}
      use_keep_in_fp32_modules: true
      required_packages: ["bitsandbytes>=0.39.0", {name: accelerate, version: ">0.27", device: any, optional: true}]
      config:
        - {name: bnb_4bit_quant_type, type: string, default: fp4, choices: [fp4, nf4], help: "which table"}
        - {name: llm_int8_threshold, type: float, default: 6.0, min: 0}
        - {name: llm_int8_skip_modules, type: list, default: null, nullable: true}
  packages:
    - {name: bitsandbytes, version: 0.50.2, device: cpu, interface: qh.bnb4.kernels/1}
requires: ["optimum>=2"]
environment: {cpu_features: [avx2], cuda: ">=13", hip: true}
conflicts: [org.x.z]
future_field: {kept: [1, 2]}
)",
                                     "plugin.yaml");
  EXPECT_EQ(m.id, "org.x.y");
  EXPECT_EQ(m.abi_major, 1);
  EXPECT_EQ(m.abi_minor, 0);
  ASSERT_EQ(m.quantizers.size(), 1u);
  const QuantizerSpec& q = m.quantizers[0];
  EXPECT_EQ(q.quant_method, "bitsandbytes");
  EXPECT_EQ(q.match.at("load_in_4bit"), true);
  EXPECT_TRUE(q.use_keep_in_fp32_modules);
  EXPECT_FALSE(q.requires_calibration);
  EXPECT_EQ(q.required_packages[0].text(), "bitsandbytes>=0.39.0");
  EXPECT_EQ(q.required_packages[0].device, "same");
  EXPECT_TRUE(q.required_packages[1].optional);
  EXPECT_EQ(q.config[1].default_value, 6.0);
  EXPECT_EQ(m.packages[0].interface_id, "qh.bnb4.kernels/1");
  EXPECT_TRUE(m.cuda.needed);
  EXPECT_EQ(m.cuda.versions.text(), ">=13");
  EXPECT_TRUE(m.hip.needed);
  EXPECT_EQ(m.source.at("future_field").at("kept").size(), 2u);
}

TEST(Manifest, SaysWhichFieldIsWrongAndWhatItNeeds) {
  const std::string head = kHead;
  EXPECT_EQ(refusal("manifest: 1\nversion: 1\n"), "plugin.yaml: id: is missing");
  EXPECT_THAT(refusal("manifest: 2\n"), HasSubstr("found format 2, this host reads format 1"));
  EXPECT_THAT(refusal("manifest: 1\nid: x\nversion: 1.10\nabi: \"1.0\"\n"),
              HasSubstr("version: found number, needed text: put it in quotes"));
  EXPECT_THAT(refusal("manifest: 1\nid: x\nversion: one\nabi: \"1.0\"\n"),
              HasSubstr("'one' is not a PEP 440 version"));
  EXPECT_THAT(refusal("manifest: 1\nid: a/b\nversion: 1.0.0\nabi: \"1.0\"\n"),
              HasSubstr("'a/b' is not an id"));
  EXPECT_THAT(refusal(head + "provides: {quantizers: [{quant_method: x}]}"),
              HasSubstr("provides.quantizers[0].method: is missing"));
  EXPECT_THAT(refusal(head + "requires: [\"a=1\"]"),
              HasSubstr("requires[0]: '=1' is not a version constraint"));
  EXPECT_THAT(
      refusal(head + "provides: {quantizers: [{method: m, config: [{name: f, type: number}]}]}"),
      HasSubstr("provides.quantizers[0].config[0].type: 'number' is not one of"));
  EXPECT_THAT(
      refusal(head +
              "provides: {quantizers: [{method: m, config: [{name: f, type: int, default: x}]}]}"),
      HasSubstr("config[0].default: f: found \"x\", needed int"));
  EXPECT_THAT(refusal(head + "critical: [warp_drive]"),
              HasSubstr("'warp_drive' must be understood"));
  EXPECT_THAT(refusal("[]"), HasSubstr("found array, needed a map"));
}

TEST(ConfigField, RefusesWhatLiesOutsideOfItsTypeChoicesAndRange) {
  ConfigField field;
  field.name = "bits";
  field.type = "int";
  field.min = 2;
  field.max = 8;
  EXPECT_NO_THROW(field.check(4));
  EXPECT_THROW(field.check(9), Error);
  EXPECT_THROW(field.check(4.5), Error);
  EXPECT_THROW(field.check(nullptr), Error);
  field.nullable = true;
  EXPECT_NO_THROW(field.check(nullptr));
  field.choices = {2, 4, 8};
  EXPECT_THROW(field.check(3), Error);
}

ErrorKind kind_of(const ConfigField& field, const OrderedJson& value) {
  try {
    field.check(value);
  } catch (const Error& e) {
    return e.kind();
  }
  ADD_FAILURE() << value.dump() << " was taken";
  return ErrorKind::kInternal;
}

// The kinds are those of transformers' config classes.
TEST(ConfigField, ThatIsExactAsksForTheTypeAndTheOthersForAChoice) {
  ConfigField threshold;
  threshold.type = "float";
  EXPECT_NO_THROW(threshold.check(6));
  threshold.exact = true;
  EXPECT_EQ(kind_of(threshold, 6), ErrorKind::kType);
  EXPECT_NO_THROW(threshold.check(6.0));

  ConfigField code;
  code.type = "string";
  code.choices = {"fp4", "nf4"};
  EXPECT_EQ(kind_of(code, 4), ErrorKind::kValue);
  code.exact = true;
  EXPECT_EQ(kind_of(code, 4), ErrorKind::kType);
  EXPECT_EQ(kind_of(code, "int4"), ErrorKind::kValue);

  ConfigField compute;
  compute.type = "dtype";
  EXPECT_EQ(kind_of(compute, 3), ErrorKind::kValue);
}

TEST(Requirement, ReadsWhatHuggingFaceUsersWrite) {
  EXPECT_EQ(Requirement::parse("accelerate").constraints.text(), "");
  EXPECT_EQ(Requirement::parse("auto-gptq >= 0.4.99, < 1").text(), "auto-gptq>= 0.4.99,< 1");
  EXPECT_EQ(Requirement::parse("Auto_GPTQ>=1").key, Requirement::parse("auto.gptq").key);
  for (const char* bad :
       {"", ">=1", "a b", "a[extra]>=1", "a>=1;python_version>'3'", "a @ file:///x", "-a"}) {
    EXPECT_THROW(Requirement::parse(bad), Error) << bad;
  }
}

TEST(Yaml, GivesPlainScalarsTheTypesOfTheCoreSchema) {
  const OrderedJson v = parse_yaml(
      "[1, -2, 1.5, 1e3, true, False, null, ~, \"1\", 'true', text, .inf, 0.50.2, nan, 1-2, ]",
      "t");
  EXPECT_EQ(v[0], 1);
  EXPECT_EQ(v[1], -2);
  EXPECT_EQ(v[2], 1.5);
  EXPECT_EQ(v[3], 1000.0);
  EXPECT_EQ(v[4], true);
  EXPECT_EQ(v[5], false);
  EXPECT_TRUE(v[6].is_null());
  EXPECT_TRUE(v[7].is_null());
  EXPECT_EQ(v[8], "1");
  EXPECT_EQ(v[9], "true");
  EXPECT_EQ(v[10], "text");
  EXPECT_TRUE(v[11].is_number_float());
  EXPECT_EQ(v[12], "0.50.2");
  EXPECT_EQ(v[13], "nan");
  EXPECT_EQ(v[14], "1-2");
}

TEST(Yaml, RefusesWhatCouldGrowOrBeReadTwoWays) {
  for (const char* bad : {"a: &x 1\nb: *x", "a: 1\na: 2", "!!python/object:os.system x",
                          "a: 1\n---\nb: 2", "? [1]\n: 2", "a: [1, 2", "{a: b: c}", "\t- x"}) {
    EXPECT_THROW(parse_yaml(bad, "t"), Error) << bad;
  }
  EXPECT_THROW(parse_yaml(std::string("a: \0b", 5), "t"), Error);
  EXPECT_THROW(parse_yaml("a: b\xCA", "t"), Error);
  YamlLimits few;
  few.nodes = 10;
  EXPECT_THROW(parse_yaml("[1,2,3,4,5,6,7,8,9,10]", "t", few), Error);
  few.depth = 2;
  EXPECT_THROW(parse_yaml("[[[1]]]", "t", few), Error);
}

}  // namespace
}  // namespace quanthost

// The errors that transformers raises while it chooses, configures and loads with a quantizer: same
// kind, same meaning.
#include "tests/folders.hpp"
#include "tests/load/load_fixture.hpp"

namespace quanthost {
namespace {

using testing::HasSubstr;

// One situation: a method with its options, or a quantization_config in the checkpoint.
struct Situation {
  const char* name;
  ErrorKind kind;
  const char* says;  // part of the message
  std::string method = {};
  std::vector<std::string> settings = {};
  Json stored = {};  // the checkpoint's quantization_config
  std::string device_map = {};
  bool once_it_reads = false;  // the error lies in the tensors
};

void PrintTo(const Situation& situation, std::ostream* out) { *out << situation.name; }

class TransformersErrors : public LoadPipeline, public testing::WithParamInterface<Situation> {};

TEST_P(TransformersErrors, AreRaisedAsEarlyAsTheyCanBe) {
  const Situation& situation = GetParam();
  const fs::path checkpoint = copy_of("llama");
  if (!situation.stored.is_null()) {
    Json config = parse_json(read_text_file(checkpoint / "config.json"), "config.json");
    config["quantization_config"] = situation.stored;
    write_json_file(checkpoint / "config.json", config);
  }
  const Error error = error_of([&] {
    LoadOptions how = options(checkpoint);
    how.quantization = user_quantization(situation.method, situation.settings);
    how.device_map = parse_device_map(situation.device_map, "cuda");
    LoadedModel loaded = plan_load(plugins(), how);
    run_load(loaded, how);
  });
  EXPECT_EQ(error.kind(), situation.kind) << name_of(error.kind()) << ": " << error.what();
  EXPECT_THAT(error.what(), HasSubstr(situation.says));
  if (situation.once_it_reads) return;
  for (const Trace::Event& event : trace_.events()) EXPECT_NE(event.name, "read");
}

const std::string kBnb = "bitsandbytes_4bit";

INSTANTIATE_TEST_SUITE_P(
    Dispatch, TransformersErrors,
    testing::Values(
        Situation{"NeedsAQuantizedModel", ErrorKind::kValue, "was not", "recording_calibrated"},
        Situation{
            "NoQuantMethod", ErrorKind::kValue, "quant_method", "", {}, Json{{"weights", "int8"}}},
        Situation{"UnknownQuantMethod",
                  ErrorKind::kValue,
                  "aqlm9",
                  "",
                  {},
                  Json{{"quant_method", "aqlm9"}}},
        Situation{"AnotherMethodThanTheCheckpoints",
                  ErrorKind::kValue,
                  "absmax8",
                  "absmax8",
                  {},
                  Json{{"quant_method", "quanto"}, {"weights", "int8"}}},
        Situation{"NegativeDevice", ErrorKind::kValue, "negative", "", {}, {}, "-1"},
        Situation{
            "NoOffloadFolder", ErrorKind::kValue, "--offload-folder", "absmax8", {}, {}, "disk"},
        Situation{"UnknownOption",
                  ErrorKind::kValue,
                  "bnb_4bit_quant_type",
                  kBnb,
                  {"bnb_4bit_quant_typ=nf4"}}),
    [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Bnb4, TransformersErrors,
    testing::Values(Situation{"BothLoadFlags",
                              ErrorKind::kValue,
                              "load_in_8bit",
                              kBnb,
                              {"load_in_4bit=true", "load_in_8bit=true"}},
                    Situation{"FlagThatIsNoBool",
                              ErrorKind::kType,
                              "bnb_4bit_use_double_quant",
                              kBnb,
                              {"bnb_4bit_use_double_quant=1.5"}},
                    Situation{"ThresholdThatIsAnInteger",
                              ErrorKind::kType,
                              "write 6.0",
                              kBnb,
                              {"llm_int8_threshold=6"}},
                    Situation{"ThresholdThatIsNoNumber",
                              ErrorKind::kType,
                              "llm_int8_threshold",
                              kBnb,
                              {"llm_int8_threshold=six"}},
                    Situation{"SkipListThatIsNoList",
                              ErrorKind::kType,
                              "llm_int8_skip_modules",
                              kBnb,
                              {"llm_int8_skip_modules=lm_head"}},
                    Situation{"QuantTypeThatIsNoText",
                              ErrorKind::kType,
                              "bnb_4bit_quant_type",
                              kBnb,
                              {"bnb_4bit_quant_type=4"}},
                    Situation{"ComputeDtypeThatTorchHasNot",
                              ErrorKind::kAttribute,
                              "float17",
                              kBnb,
                              {"bnb_4bit_compute_dtype=float17"}},
                    Situation{"StorageOfAnotherType",
                              ErrorKind::kValue,
                              "bnb_4bit_quant_storage",
                              kBnb,
                              {"bnb_4bit_quant_storage=int64"}},
                    Situation{"OffloadWithoutTheFlag",
                              ErrorKind::kValue,
                              "llm_int8_enable_fp32_cpu_offload",
                              kBnb,
                              {},
                              {},
                              R"({"": "emulated:0", "model.layers.1": "cpu"})"},
                    Situation{"StoredWithoutQuantState",
                              ErrorKind::kValue,
                              "quant_state",
                              "",
                              {},
                              Json{{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}},
                              "",
                              true}),
    [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Quanto, TransformersErrors,
    testing::Values(
        Situation{"WeightsOfNoType", ErrorKind::kValue, "int3", "quanto", {"weights=int3"}},
        Situation{"ActivationsOfNoType", ErrorKind::kValue, "int4", "quanto", {"activations=int4"}},
        Situation{"ActivationsWithoutCalibration",
                  ErrorKind::kValue,
                  "activations",
                  "quanto",
                  {"activations=int8"}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(LoadPipeline, RaisesAnAttributeErrorForAParameterThatTheQuantizerDoesNotCreate) {
  const Error error =
      error_of([&] { load_model(plugins(), options(kGoldens / "llama", "recording_bare")); });
  EXPECT_EQ(error.kind(), ErrorKind::kAttribute);
  EXPECT_THAT(error.what(), HasSubstr("does not create parameters"));
  EXPECT_THAT(error.what(), HasSubstr("test.recording"));
}

TEST_F(LoadPipeline, RaisesAValueErrorWhenAMethodIsNotSerializableBeforeTheWork) {
  LoadOptions how = options(kGoldens / "llama");
  how.quantization = user_quantization("recording", {"serializable=false"});
  LoadedModel planned = plan_load(plugins(), how);
  const Error error = error_of([&] { need_serializable(*planned.quantizer); });
  EXPECT_EQ(error.kind(), ErrorKind::kValue);
  EXPECT_THAT(error.what(), HasSubstr("not serializable"));
  run_load(planned, how);
  EXPECT_EQ(error_of([&] { save_model(planned, folder_ / "out"); }).kind(), ErrorKind::kValue);
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

TEST_F(LoadPipeline, RaisesAnImportErrorForAMethodWhosePackagesNobodyProvides) {
  PluginHostOptions alone;
  alone.plugin_paths = {folder_ / "plugins"};
  alone.use_cache = false;
  alone.probe_before_first_use = false;
  alone.trust = TrustPolicy::kOff;
  alone.context = SearchContext();  // nothing else is searched
  alone.context->environment = [](std::string_view name) -> std::optional<std::string> {
    if (name == "QUANTHOST_PLUGIN_SYSTEM_PATH") return "/nonexistent";
    return std::nullopt;
  };
  fs::create_directories(folder_ / "plugins");
  fs::copy_file(test::built_plugin("qh_bnb4"), folder_ / "plugins/bnb4.so");
  PluginHost without_kernels(alone);
  const Error error = error_of(
      [&] { plan_load(without_kernels, options(kGoldens / "llama", "bitsandbytes_4bit")); });
  EXPECT_EQ(error.kind(), ErrorKind::kImport);
  EXPECT_THAT(error.what(), HasSubstr("bitsandbytes>=0.39.0"));
}

TEST_F(LoadPipeline, RaisesValueErrorsForMemorySizesThatAreNone) {
  for (const char* text : {"cpu=5Q", "cpu=", "cpu=-5GB", "cpu=five", "5GB"}) {
    EXPECT_EQ(error_of([&] { parse_memory_limits(text, "cuda"); }).kind(), ErrorKind::kValue)
        << text;
  }
}

TEST_F(LoadPipeline, RaisesAValueErrorForANumberOfBitsInTheNameOfADtype) {
  LoadOptions how = options(kGoldens / "llama");
  how.dtype = "float15";
  EXPECT_EQ(error_of([&] { plan_load(plugins(), how); }).kind(), ErrorKind::kValue);
}

}  // namespace
}  // namespace quanthost

// GPTQConfig's fields and their rules, the environment's, and what is written back.
#include "quantizer/options.hpp"

#include "tests/gptq/quantizer_fixture.hpp"

namespace quanthost::gptq::testing {
namespace {

using ::testing::HasSubstr;

std::string create_error(const Config& config, bool pre_quantized = false) {
  Gptq g;
  return failure_of([&] { g.load(config, pre_quantized); });
}

OrderedJson json(const char* text) { return OrderedJson::parse(text); }

TEST(GptqConfig, RefusesWhatGPTQConfigRefuses) {
  EXPECT_THAT(create_error({{"bits", 5}}),
              HasSubstr("bits is 5; GPTQ quantizes to 2, 3, 4 or 8 bits"));
  EXPECT_THAT(create_error({{"group_size", 0}}), HasSubstr("group_size is 0"));
  EXPECT_THAT(create_error({{"group_size", -2}}), HasSubstr("-1 for one group"));
  EXPECT_EQ(create_error({{"group_size", -1}}), "nothing failed");
  EXPECT_THAT(create_error({{"damp_percent", 0.0}}), HasSubstr("damp_percent is 0.0"));
  EXPECT_THAT(create_error({{"damp_percent", 1.0}}), HasSubstr("lie between 0 and 1"));
  EXPECT_THAT(create_error({{"damp_auto_increment", 1.5}}),
              HasSubstr("damp_auto_increment is 1.5"));
  EXPECT_THAT(create_error({{"mse", -1.0}}), HasSubstr("mse is negative"));
  EXPECT_THAT(create_error({{"batch_size", 0}}), HasSubstr("batch_size is 0"));
  EXPECT_THAT(create_error({{"batch_size", 2}, {"dataset", json(R"(["a", "b"])")}}),
              HasSubstr("pad_token_id is not given"));
  EXPECT_EQ(create_error({{"batch_size", 2}, {"pad_token_id", 0}, {"dataset", json(R"(["a"])")}}),
            "nothing failed");
}

TEST(GptqConfig, SaysThatADataSetsNameIsNoFile) {
  for (const char* name : {"wikitext2", "c4", "c4-new", "ptb", "ptb-new"}) {
    EXPECT_THAT(create_error({{"dataset", name}}), HasSubstr(std::string("dataset '") + name +
                                                             "' is a name, and quanthost downloads "
                                                             "nothing"));
    EXPECT_EQ(create_error({{"dataset", name}}, /*pre_quantized=*/true), "nothing failed");
  }
  Gptq g;
  EXPECT_THAT(failure_of([&] { g.load({{"dataset", "c4"}}); }), HasSubstr("dataset"));
  for (const char* wrong : {"[]", "[1]", "{}", R"([{"text": "a"}])", "7"})
    EXPECT_THAT(create_error({{"dataset", json(wrong)}}),
                HasSubstr("dataset has to be the path of a file, a list of texts"))
        << wrong;
}

TEST(GptqConfig, HasTheRulesOfTheExllamaOptions) {
  EXPECT_THAT(create_error({{"use_exllama", true}, {"disable_exllama", false}}),
              HasSubstr("disable_exllama and use_exllama are both given"));
  EXPECT_THAT(create_error({{"exllama_config", json("{}")}}), HasSubstr("has no \"version\""));
  EXPECT_THAT(create_error({{"exllama_config", json(R"({"version": 3})")}}),
              HasSubstr("version is 3; it is 1 or 2"));
  EXPECT_EQ(create_error({{"exllama_config", json(R"({"version": 2})")}}), "nothing failed");
}

TEST(GptqConfig, WantsListsOfNamesForTheModulesOfABlock) {
  for (const char* wrong : {R"([[1]])", R"([{"a": 1}])"})
    EXPECT_THAT(create_error({{"modules_in_block_to_quantize", json(wrong)}}),
                HasSubstr("modules_in_block_to_quantize has to be a list of lists"))
        << wrong;
}

TEST(GptqConfig, ActOrderSwitchesTheGroupAwareOrderOff) {
  Gptq g;
  MockLoad both = g.load({{"desc_act", true}, {"act_group_aware", true}});
  EXPECT_EQ(g.host.warnings, 1);
  EXPECT_EQ(saved_config(both).at("act_group_aware"), false);
  MockLoad one = g.load({{"desc_act", true}});
  EXPECT_EQ(g.host.warnings, 1) << "nobody asked for both";
  EXPECT_EQ(saved_config(one).at("act_group_aware"), false);
}

TEST(GptqConfig, TakesGptaqAsGptqmodelDoesAndNotesIt) {
  Gptq g;
  MockLoad load = g.load({{"gptaq", json(R"({"alpha": 0.5, "device": "cpu"})")}});
  EXPECT_EQ(saved_config(load).at("meta").at("gptaq").at("alpha"), 0.5);
  EXPECT_EQ(saved_config(load).at("act_group_aware"), false);
  MockLoad plain = g.load({{"gptaq", true}});
  EXPECT_EQ(saved_config(plain).at("meta").at("gptaq").at("alpha"), 0.25);
  EXPECT_EQ(g.host.warnings, 0);
  MockLoad both = g.load({{"gptaq", true}, {"act_group_aware", true}});
  EXPECT_EQ(g.host.warnings, 1);
  for (const bool off : {false, true}) {
    MockLoad load_without = g.load(off ? Config{{"gptaq", false}} : Config{});
    EXPECT_FALSE(saved_config(load_without).at("meta").contains("gptaq"));
  }
  EXPECT_THAT(create_error({{"gptaq", 0.25}}), HasSubstr("gptaq is 0.25; it is a map"));
  EXPECT_THAT(create_error({{"gptaq", json(R"({"alpha": -1})")}}), HasSubstr("alpha is -1"));
  EXPECT_THAT(create_error({{"gptaq", json(R"({"beta": 1})")}}), HasSubstr("no option 'beta'"));
}

TEST(GptqConfig, SaysThatBlockOutputsAreKeptInAnyCase) {
  Gptq g;
  g.load({{"cache_block_outputs", true}});
  EXPECT_EQ(g.host.warnings, 0);
  MockLoad load = g.load({{"cache_block_outputs", false}});
  EXPECT_EQ(g.host.warnings, 1);
  EXPECT_EQ(saved_config(load).at("cache_block_outputs"), false);
}

TEST(GptqConfig, WritesAsymmetricZerosInTheSecondFormatUnlessToldOtherwise) {
  Gptq g;
  MockLoad silent = g.load({{"sym", false}});
  EXPECT_EQ(saved_config(silent).at("checkpoint_format"), "gptq_v2");
  EXPECT_EQ(g.host.warnings, 0);
  MockLoad told = g.load({{"sym", false}, {"format", "gptq"}});
  EXPECT_EQ(saved_config(told).at("checkpoint_format"), "gptq");
  EXPECT_EQ(g.host.warnings, 1);
}

// The options of a checkpoint whose config is this JSON, without a host.
Options options_of(const std::string& config_json) {
  static const qh_host_api nothing{};
  qh_create_args args{};
  args.config_json = qh::to_abi(config_json);
  return read_options(qh::Host(nullptr, &nothing, ""), qh::Config(args), /*pre_quantized=*/true);
}

TEST(GptqConfig, ReadsTheNamesOfAwqsTools) {
  const Options options = options_of(R"({"w_bit": 3, "q_group_size": 64})");
  EXPECT_EQ(options.solver.grid.bits, 3);
  EXPECT_EQ(options.solver.group_size, 64);
}

TEST(GptqConfig, RefusesOtherWordsThanInt32) {
  EXPECT_NO_THROW(options_of(R"({"pack_dtype": "int32"})"));
  try {
    options_of(R"({"pack_dtype": "int16"})");
    FAIL();
  } catch (const qh::Error& error) {
    EXPECT_EQ(error.kind(), QH_ERR_NOT_IMPLEMENTED);
    EXPECT_THAT(error.message(), HasSubstr("words of \"int16\" (pack_dtype)"));
  }
}

// The keys of GPTQConfig(bits=4).to_dict() in transformers 5.17.
TEST(GptqConfig, IsSavedWithTheKeysOfTransformers) {
  Gptq g;
  MockLoad load = g.load({{"bits", 3}, {"damp_percent", 0.05}, {"dataset", "corpus.txt"}});
  const OrderedJson saved = saved_config(load);
  std::vector<std::string> keys;
  for (const auto& [key, value] : saved.items()) keys.push_back(key);
  EXPECT_THAT(keys, ::testing::UnorderedElementsAre(
                        "quant_method", "bits", "tokenizer", "dataset", "group_size",
                        "damp_percent", "desc_act", "act_group_aware", "sym", "true_sequential",
                        "format", "meta", "backend", "model_seqlen", "block_name_to_quantize",
                        "module_name_preceding_first_block", "batch_size", "pad_token_id",
                        "max_input_length", "cache_block_outputs", "modules_in_block_to_quantize",
                        "checkpoint_format"));
  EXPECT_EQ(saved.at("bits"), 3);
  EXPECT_EQ(saved.at("damp_percent"), 0.05);
  EXPECT_TRUE(saved.at("dataset").is_null()) << "transformers refuses a path there";
  EXPECT_EQ(saved.at("format"), "gptq");
  const auto files = saved_files(load);
  const OrderedJson file = OrderedJson::parse(files.at("quantize_config.json"));
  keys.clear();
  for (const auto& [key, value] : file.items()) keys.push_back(key);
  EXPECT_THAT(keys, ::testing::ElementsAre("bits", "group_size", "damp_percent", "desc_act",
                                           "static_groups", "sym", "true_sequential",
                                           "model_name_or_path", "model_file_base_name",
                                           "quant_method", "checkpoint_format", "meta"));
}

// -- environment

struct Validation {
  qh_status status;
  std::string message;
};

Validation validate(Gptq& g, const Config& config,
                    const std::vector<std::string>& devices = {"cpu"},
                    const char* map_device = nullptr, bool pre_quantized = true) {
  MockLoad load = g.load(config, pre_quantized);
  std::vector<qh_str> names;
  for (const std::string& device : devices) names.push_back(qh::to_abi(device));
  const qh_pair entry{qh::to_abi("model.layers"), qh::to_abi(map_device ? map_device : "")};
  const qh_environment environment{sizeof(environment),
                                   map_device ? std::uint32_t{QH_ENV_HAS_DEVICE_MAP} : 0u,
                                   {},
                                   0,
                                   {&entry, map_device ? 1u : 0u},
                                   {names.data(), names.size()}};
  const qh_diagnostic_sink ignore{
      nullptr, [](void*, std::int32_t, qh_str, qh_str) -> qh_status { return QH_OK; }};
  const qh_status status = load.api().validate_environment(load.quantizer(), &environment, ignore);
  return {status, g.host.take_error().message};
}

TEST(GptqEnvironment, NamesThePackageThatIsMissing) {
  for (const char* package : {"optimum", "auto_gptq"}) {
    Gptq g;
    g.subject.packages.erase(package);
    const Validation v = validate(g, {});
    EXPECT_EQ(v.status, QH_ERR_IMPORT);
    EXPECT_THAT(v.message, HasSubstr(std::string(package) + " was not found"));
  }
}

TEST(GptqEnvironment, RunsOnTheCpuAboveAutoGptq042Only) {
  Gptq g;
  g.subject.packages["auto_gptq"].version = "0.4.2";
  const Validation cpu = validate(g, {});
  EXPECT_EQ(cpu.status, QH_ERR_RUNTIME);
  EXPECT_THAT(cpu.message, HasSubstr("a GPU is required to quantize or run a GPTQ model"));
  EXPECT_EQ(validate(g, {}, {"cuda:0", "cpu"}).status, QH_OK);
  g.subject.packages["auto_gptq"].version = "0.4.3";
  EXPECT_EQ(validate(g, {}).status, QH_OK);
  g.subject.packages["auto_gptq"].version = "0.4.1";
  const Validation old = validate(g, {}, {"cuda:0", "cpu"});
  EXPECT_EQ(old.status, QH_ERR_IMPORT);
  EXPECT_THAT(old.message, HasSubstr("auto_gptq>=0.4.2, found 0.4.1"));
}

TEST(GptqEnvironment, NeedsNewerPackagesForSomeOptions) {
  const Config exllama2{{"bits", 4}, {"exllama_config", json(R"({"version": 2})")}};
  const Config subsets{{"modules_in_block_to_quantize", json(R"([["up_proj"]])")}};
  Gptq g;
  g.subject.packages["optimum"].version = "1.13.2";
  const Validation exllama = validate(g, exllama2);
  EXPECT_EQ(exllama.status, QH_ERR_VALUE);
  EXPECT_THAT(exllama.message,
              HasSubstr("optimum>1.13.2 and auto_gptq>0.4.2, found optimum 1.13.2"));
  g.subject.packages["optimum"].version = "1.14.0";
  EXPECT_EQ(validate(g, exllama2).status, QH_OK);
  const Validation modules = validate(g, subsets);
  EXPECT_EQ(modules.status, QH_ERR_VALUE);
  EXPECT_THAT(modules.message, HasSubstr("needs optimum>=1.15.0, found 1.14.0"));
  g.subject.packages["optimum"].version = "1.15.0";
  EXPECT_EQ(validate(g, subsets).status, QH_OK);
}

TEST(GptqEnvironment, NeedsDataAndAModelOffTheDiskToQuantize) {
  Gptq g;
  const Validation nothing = validate(g, {}, {"cpu"}, nullptr, /*pre_quantized=*/false);
  EXPECT_EQ(nothing.status, QH_ERR_VALUE);
  EXPECT_THAT(nothing.message, HasSubstr("no dataset was given"));
  const Config data{{"dataset", "corpus.txt"}};
  const Validation disk = validate(g, data, {"cpu"}, "disk", false);
  EXPECT_EQ(disk.status, QH_ERR_VALUE);
  EXPECT_THAT(disk.message, HasSubstr("puts 'model.layers' on the disk"));
  EXPECT_EQ(validate(g, data, {"cpu"}, "cpu", false).status, QH_OK);
  EXPECT_EQ(validate(g, {}, {"cpu"}, "disk", /*pre_quantized=*/true).status, QH_OK);
}

TEST(GptqQuantizer, DefaultsToFloat16OnTheCpu) {
  Gptq g;
  MockLoad load = g.load();
  qh_dtype dtype{};
  ASSERT_EQ(load.api().update_torch_dtype(load.quantizer(), qh::kNoDtype, &dtype), QH_OK);
  EXPECT_TRUE(dtype == qh::kFloat16);
  ASSERT_EQ(load.api().update_torch_dtype(load.quantizer(), qh::kBfloat16, &dtype), QH_OK);
  EXPECT_TRUE(dtype == qh::kBfloat16);
  std::string device;
  ASSERT_EQ(
      load.api().update_device_map(load.quantizer(), 0, {nullptr, 0},
                                   {&device,
                                    [](void* ctx, qh_str, qh_str value) -> qh_status {
                                      static_cast<std::string*>(ctx)->assign(qh::from_abi(value));
                                      return QH_OK;
                                    }}),
      QH_OK);
  EXPECT_EQ(device, "cpu");
  for (const auto slot : {load.api().is_serializable, load.api().is_trainable}) {
    std::int32_t answer = 0;
    ASSERT_EQ(slot(load.quantizer(), &answer), QH_OK);
    EXPECT_EQ(answer, 1);
  }
}

const qh_model_api& model_of_pictures() {
  static const qh_model_api table = [] {
    qh_model_api t = *static_cast<const qh_model_api*>(find_service(QH_MODEL_ID));
    t.main_input_name = [](qh_model*, qh_str_sink out) {
      return out.emit(out.ctx, qh::to_abi("pixel_values"));
    };
    return t;
  }();
  return table;
}

TEST(GptqQuantizer, RefusesAModelWhoseInputIsNoText) {
  for (const bool pre_quantized : {false, true}) {
    Gptq g;
    g.host.api.get_service = [](qh_host*, qh_str id) -> const void* {
      return qh::from_abi(id) == QH_MODEL_ID ? &model_of_pictures()
                                             : service_of_test(qh::from_abi(id));
    };
    MockLoad load = g.load({}, pre_quantized);
    EXPECT_EQ(load.before_load(), QH_ERR_RUNTIME);
    EXPECT_THAT(
        g.host.take_error().message,
        HasSubstr("only pure text models can be quantized with GPTQ; the main input of this "
                  "one is pixel_values"));
  }
}

}  // namespace
}  // namespace quanthost::gptq::testing

// The quantizer through the plugin's table, on the conformance suite's small model: what it stores,
// loads and refuses.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "quanthost/plugin/error.hpp"
#include "tests/bnb4/package_library.hpp"
#include "tests/conformance/plugin_subject.hpp"
#include "tests/folders.hpp"

namespace quanthost::conformance {
namespace {

using qh::from_abi;
using qh::to_abi;

constexpr qh_dtype kFloat32 = {QH_DTYPE_FLOAT, 32, 1};
constexpr qh_dtype kFloat16 = {QH_DTYPE_FLOAT, 16, 1};
constexpr qh_dtype kBfloat16 = {QH_DTYPE_BFLOAT, 16, 1};
const std::string kUp = "model.layers.0.up_proj";  // 128 inputs, 96 outputs, bias

// `bitsandbytes` of any claimed version, with the CPU provider's table behind it.
MockPackage bitsandbytes(const std::string& version) {
  return {version,
          [](std::string_view, std::string_view device, const void** table,
             qh_package** self) -> qh_status {
            static auto* library = new test::PackageLibrary("cpu");
            if (device != "cpu") return QH_ERR_KEY;
            *table = library->kernels;
            *self = library->self;
            return QH_OK;
          }};
}

Subject make_subject(const std::string& version = "0.50.2") {
  const std::string path = test::built_plugin("qh_bnb4");
  return {path,
          manifest_of(path),
          1,
          {{"bitsandbytes", bitsandbytes(version)}, {"accelerate", bare_package("1.15.0")}}};
}

// One load, from the plugin's entry to the quantized modules.
class Load {
 public:
  using Config = std::map<std::string, OrderedJson>;
  explicit Load(Config config = {}, qh_dtype dtype = kBfloat16, bool pre_quantized = false,
                const Subject& subject = make_subject())
      : subject_(subject),
        mock_(host, subject_, *subject_.manifest.find_quantizer("bitsandbytes_4bit"),
              {pre_quantized, 2, dtype, std::move(config)}) {}
  MockLoad* operator->() { return &mock_; }
  MockLoad& operator*() { return mock_; }

  // The quantizer's slots for the environment, with the error they leave.
  qh_status validate(uint32_t flags, const std::map<std::string, std::string>& device_map = {},
                     const std::vector<std::string>& devices = {"cpu"}) {
    std::vector<qh_pair> pairs;
    for (const auto& [module, device] : device_map)
      pairs.push_back({to_abi(module), to_abi(device)});
    std::vector<qh_str> names;
    for (const std::string& device : devices) names.push_back(to_abi(device));
    const qh_environment environment = {
        sizeof(environment),
        flags | (pairs.empty() ? 0u : uint32_t{QH_ENV_HAS_DEVICE_MAP}),
        {},
        0,
        {pairs.data(), pairs.size()},
        {names.data(), names.size()}};
    return mock_.api().validate_environment(
        mock_.quantizer(), &environment,
        {nullptr, [](void*, int32_t, qh_str, qh_str) -> qh_status { return QH_OK; }});
  }
  qh_module* module(const std::string& name) { return mock_.model().find(name)->state; }
  const qh_module_class& klass(const std::string& name) { return *mock_.model().find(name)->klass; }

  MockHost host;

 private:
  Subject subject_;
  MockLoad mock_;
};

std::string text_of(const SavedTensor& tensor) {
  return {tensor.bytes.begin(), tensor.bytes.end()};
}

const Load::Config kNf4 = {{"bnb_4bit_quant_type", "nf4"}};

void expect_error(Load& load, qh_status status, qh_status kind, const std::string& words) {
  const RecordedError error = load.host.take_error();
  EXPECT_EQ(status, kind) << error.message;
  EXPECT_NE(error.message.find(words), std::string::npos) << error.message;
  EXPECT_FALSE(error.hint.empty()) << error.message;
}

// -- what is stored

TEST(Bnb4Quantizer, StoresBitsandbytesTensorsUnderTheirNames) {
  Load load(kNf4);
  load->load();
  const SavedModel saved = load->save();
  EXPECT_EQ(saved.at(kUp + ".weight").description, "uint8 [6144, 1]");
  EXPECT_EQ(saved.at(kUp + ".weight.absmax").description, "float32 [192]");
  EXPECT_EQ(saved.at(kUp + ".weight.quant_map").description, "float32 [16]");
  EXPECT_EQ(saved.at(kUp + ".bias").description, "bfloat16 [96]");
  EXPECT_EQ(text_of(saved.at(kUp + ".weight.quant_state.bitsandbytes__nf4")),
            R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [96, 128]})");
  EXPECT_EQ(saved.count(kUp + ".weight.nested_absmax"), 0u);
  EXPECT_EQ(saved.count("lm_head.weight"), 0u) << "the output head is skipped by default";
}

TEST(Bnb4Quantizer, StoresDoublyQuantizedScales) {
  Load load({{"bnb_4bit_quant_type", "nf4"}, {"bnb_4bit_use_double_quant", true}}, kFloat16);
  load->load();
  const SavedModel saved = load->save();
  EXPECT_EQ(saved.at(kUp + ".weight.absmax").description, "uint8 [192]");
  EXPECT_EQ(saved.at(kUp + ".weight.nested_absmax").description, "float32 [1]");
  EXPECT_EQ(saved.at(kUp + ".weight.nested_quant_map").description, "float32 [256]");
  const std::string json = text_of(saved.at(kUp + ".weight.quant_state.bitsandbytes__nf4"));
  EXPECT_NE(json.find(R"("nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.)"),
            std::string::npos)
      << json;
}

TEST(Bnb4Quantizer, StoresPackedBytesUnderAnotherType) {
  Load load({{"bnb_4bit_quant_type", "nf4"}, {"bnb_4bit_quant_storage", "bfloat16"}});
  load->load();
  EXPECT_EQ(load->save().at(kUp + ".weight").description, "bfloat16 [3072, 1]");
}

TEST(Bnb4Quantizer, GivesBackAStoredCheckpointByteForByte) {
  for (const bool nested : {false, true}) {
    for (const char* storage : {"uint8", "bfloat16", "float32"}) {
      const Load::Config config = {{"bnb_4bit_use_double_quant", nested},
                                   {"bnb_4bit_quant_storage", storage}};
      Load first(config);
      first->load();
      const SavedModel saved = first->save();
      Load second(config, kBfloat16, true);
      for (auto& [name, tensor] : first->saved_tensors())
        second->model().checkpoint[name] = std::move(tensor);
      second->load();
      EXPECT_EQ(second->save(), saved) << storage << " nested=" << nested;
    }
  }
}

TEST(Bnb4Quantizer, TurnsAConv1DWeight) {
  Load turned(kNf4);
  MockModule& module = *turned->model().find(kUp);
  module.class_name = "Conv1D";
  Owned& stored = turned->model().checkpoint.at(kUp + ".weight");
  Owned transposed(make_tensor(kBfloat16, {128, 96}));
  for (int64_t row = 0; row < 96; ++row) {
    for (int64_t column = 0; column < 128; ++column) {
      write_element(transposed.view(), column * 96 + row,
                    read_element(stored.view(), row * 128 + column));
    }
  }
  stored = std::move(transposed);
  turned->load();
  Load plain(kNf4);
  plain->load();
  EXPECT_EQ(turned->save(), plain->save());
}

// -- the layer

TEST(Linear4bit, MultipliesAndDifferentiatesWithItsDenseWeight) {
  Load load(kNf4, kFloat32);
  load->load();
  qh_managed_tensor* raw = nullptr;
  ASSERT_EQ(load.klass(kUp).dequantize(load.module(kUp), load->exec(), {}, &raw), QH_OK);
  const Owned dense(raw);
  EXPECT_EQ(describe(dense.view()), "float32 [96, 128]");
  const Owned input(make_tensor(kFloat32, {2, 3, 128}));
  const Owned output(make_tensor(kFloat32, {2, 3, 96}));
  for (int64_t i = 0; i < 6 * 128; ++i)
    write_element(input.view(), i, static_cast<double>((i * 7) % 13 - 6));
  ASSERT_EQ(
      load.klass(kUp).forward(load.module(kUp), load->exec(), &input.view(), 1, &output.view()),
      QH_OK);
  const Owned& bias = load->model().checkpoint.at(kUp + ".bias");
  for (int64_t b = 0; b < 6; ++b) {
    for (int64_t n = 0; n < 96; ++n) {
      double expected = read_element(bias.view(), n);
      for (int64_t k = 0; k < 128; ++k) {
        expected +=
            read_element(input.view(), b * 128 + k) * read_element(dense.view(), n * 128 + k);
      }
      EXPECT_NEAR(read_element(output.view(), b * 96 + n), expected, 1e-4);
    }
  }
  const Owned gradient(make_tensor(kFloat32, {2, 3, 128}));
  ASSERT_EQ(load.klass(kUp).backward_input(load.module(kUp), load->exec(), &output.view(),
                                           &input.view(), &gradient.view()),
            QH_OK);
  double expected = 0;
  for (int64_t n = 0; n < 96; ++n) {
    expected += read_element(output.view(), n) * read_element(dense.view(), n * 128 + 5);
  }
  EXPECT_NEAR(read_element(gradient.view(), 5), expected, 1e-3 * std::fabs(expected));
}

TEST(Linear4bit, TakesHalfAByteAnElementAndItsScales) {
  Load load(kNf4);
  load->load();
  qh_module_memory memory{};
  memory.struct_size = sizeof(memory);
  ASSERT_EQ(load.klass(kUp).memory_bytes(load.module(kUp), &memory), QH_OK);
  EXPECT_EQ(memory.weight_bytes, 96u * 128 / 2);
  EXPECT_EQ(memory.overhead_bytes, 192u * 4 + 16 * 4 + 96 * 2);
  EXPECT_EQ(memory.runtime_bytes, 0u);
}

TEST(Linear4bit, RefusesAnInputOfAnotherWidth) {
  Load load(kNf4, kFloat32);
  load->load();
  const Owned input(make_tensor(kFloat32, {2, 127}));
  const Owned output(make_tensor(kFloat32, {2, 96}));
  EXPECT_EQ(
      load.klass(kUp).forward(load.module(kUp), load->exec(), &input.view(), 1, &output.view()),
      QH_ERR_VALUE);
  EXPECT_NE(load.host.take_error().message.find("[2, 127]"), std::string::npos);
}

TEST(Linear4bit, IsNotLoadedUntilItsScalesAreThere) {
  Load load(kNf4);
  ASSERT_EQ(load->before_load(), QH_OK);
  qh_module_info info{};
  info.struct_size = sizeof(info);
  ASSERT_EQ(load.klass(kUp).describe(load.module(kUp), &info), QH_OK);
  EXPECT_EQ(info.loaded, 0u);
  const Owned input(make_tensor(kFloat32, {1, 128}));
  const Owned output(make_tensor(kFloat32, {1, 96}));
  EXPECT_EQ(
      load.klass(kUp).forward(load.module(kUp), load->exec(), &input.view(), 1, &output.view()),
      QH_ERR_RUNTIME);
}

// -- decisions

TEST(Bnb4Quantizer, SizesQuantizedWeightsAtHalfAByteAndKeepsATenthOfMemory) {
  Load load(kNf4);
  ASSERT_EQ(load->before_load(), QH_OK);
  double bytes = 0;
  const Owned weight(make_tensor(kBfloat16, {96, 128}));
  ASSERT_EQ(load->api().param_element_size(load->quantizer(), load->model().handle(),
                                           to_abi(kUp + ".weight"), &weight.view(), &bytes),
            QH_OK);
  EXPECT_EQ(bytes, 0.5);
  ASSERT_EQ(load->api().param_element_size(load->quantizer(), load->model().handle(),
                                           to_abi("lm_head.weight"), &weight.view(), &bytes),
            QH_OK);
  EXPECT_EQ(bytes, 2.0);
  qh_dtype target{};
  ASSERT_EQ(load->api().adjust_target_dtype(load->quantizer(), kFloat16, &target), QH_OK);
  EXPECT_EQ(target.bits, 4);
  const qh_memory_limit limits[] = {{to_abi("cuda:0"), 1000.0}, {to_abi("cpu"), 100.0}};
  std::vector<double> scaled;
  ASSERT_EQ(
      load->api().adjust_max_memory(load->quantizer(), limits, 2,
                                    {&scaled,
                                     [](void* ctx, qh_str, double value) -> qh_status {
                                       static_cast<std::vector<double>*>(ctx)->push_back(value);
                                       return QH_OK;
                                     }}),
      QH_OK);
  EXPECT_EQ(scaled, (std::vector<double>{900.0, 90.0}));
}

TEST(Bnb4Quantizer, LeavesNamedModulesAlone) {
  Load load({{"llm_int8_skip_modules", OrderedJson::parse(R"(["model.layers.0.up_proj"])")}});
  load->load();
  EXPECT_EQ(load->model().find(kUp)->klass, nullptr);
  EXPECT_NE(load->model().find("lm_head")->klass, nullptr)
      << "a list of the user's replaces the default";
}

TEST(Bnb4Quantizer, TakesStoredTensorsOffTheListOfUnexpectedKeys) {
  Load load(kNf4, kBfloat16, true);
  ASSERT_EQ(load->before_load(), QH_OK);
  const std::vector<std::string> keys = {kUp + ".weight.absmax",
                                         kUp + ".weight.quant_state.bitsandbytes__nf4",
                                         kUp + ".other", "lm_head.weight.absmax"};
  std::vector<qh_str> items;
  for (const std::string& key : keys) items.push_back(to_abi(key));
  std::vector<std::string> left;
  ASSERT_EQ(load->api().update_unexpected_keys(
                load->quantizer(), load->model().handle(), {items.data(), items.size()}, to_abi(""),
                {&left,
                 [](void* ctx, qh_str key) -> qh_status {
                   static_cast<std::vector<std::string>*>(ctx)->emplace_back(from_abi(key));
                   return QH_OK;
                 }}),
            QH_OK);
  EXPECT_EQ(left, (std::vector<std::string>{kUp + ".other", "lm_head.weight.absmax"}));
}

TEST(Bnb4Quantizer, WritesTheConfigOfTransformers) {
  Load load({{"bnb_4bit_quant_type", "nf4"}, {"bnb_4bit_compute_dtype", "bfloat16"}});
  std::string json;
  ASSERT_EQ(load->api().saved_config(load->quantizer(), load->model().handle(),
                                     {&json,
                                      [](void* ctx, qh_str text) -> qh_status {
                                        static_cast<std::string*>(ctx)->assign(from_abi(text));
                                        return QH_OK;
                                      }}),
            QH_OK);
  EXPECT_EQ(
      json,
      R"({"_load_in_4bit": true, "_load_in_8bit": false, "bnb_4bit_compute_dtype": "bfloat16", )"
      R"("bnb_4bit_quant_storage": "uint8", "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": false, )"
      R"("llm_int8_enable_fp32_cpu_offload": false, "llm_int8_has_fp16_weight": false, )"
      R"("llm_int8_skip_modules": null, "llm_int8_threshold": 6.0, "load_in_4bit": true, "load_in_8bit": false, )"
      R"("quant_method": "bitsandbytes"})");
}

// -- refusals

TEST(Bnb4Environment, NeedsItsPackages) {
  for (const char* missing : {"bitsandbytes", "accelerate"}) {
    Subject subject = make_subject();
    subject.packages.erase(missing);
    Load load(kNf4, kBfloat16, false, subject);
    expect_error(load, load.validate(0), QH_ERR_IMPORT, missing);
  }
}

TEST(Bnb4Environment, NeedsBitsandbytes039) {
  Load old(kNf4, kBfloat16, false, make_subject("0.38.1"));
  expect_error(old, old.validate(0), QH_ERR_VALUE, "bitsandbytes>=0.39.0, found 0.38.1");
  Load enough(kNf4, kBfloat16, false, make_subject("0.39.0"));
  EXPECT_EQ(enough.validate(0), QH_OK);
}

TEST(Bnb4Environment, RefusesTensorFlowAndFlaxWeights) {
  Load load(kNf4);
  expect_error(load, load.validate(QH_ENV_FROM_TF), QH_ERR_VALUE, "TensorFlow");
  expect_error(load, load.validate(QH_ENV_FROM_FLAX), QH_ERR_VALUE, "Flax");
}

TEST(Bnb4Environment, NeedsADeviceWithKernels) {
  Load load(kNf4);
  expect_error(load, load.validate(0, {}, {"npu:0"}), QH_ERR_RUNTIME, "npu:0");
}

TEST(Bnb4Environment, RefusesOffloadedModulesUnlessTheyMayStayUnquantized) {
  Load load(kNf4);
  expect_error(load, load.validate(0, {{"model", "cuda:0"}, {"lm_head", "cpu"}}), QH_ERR_VALUE,
               "lm_head");
  expect_error(load, load.validate(0, {{"model", "cuda:0"}, {"lm_head", "disk"}}), QH_ERR_VALUE,
               "disk");
  EXPECT_EQ(load.validate(0, {{"", "cpu"}}), QH_OK) << "a whole model on the CPU is no offload";
  Load allowed({{"llm_int8_enable_fp32_cpu_offload", true}});
  EXPECT_EQ(allowed.validate(0, {{"model", "cuda:0"}, {"lm_head", "cpu"}}), QH_OK);
}

TEST(Bnb4Environment, ChoosesTheFirstDeviceWithKernels) {
  Load load(kNf4);
  ASSERT_EQ(load.validate(0, {}, {"npu:0", "cpu"}), QH_OK);
  std::string device;
  ASSERT_EQ(
      load->api().update_device_map(load->quantizer(), 0, {nullptr, 0},
                                    {&device,
                                     [](void* ctx, qh_str, qh_str value) -> qh_status {
                                       static_cast<std::string*>(ctx)->assign(from_abi(value));
                                       return QH_OK;
                                     }}),
      QH_OK);
  EXPECT_EQ(device, "cpu");
}

TEST(Bnb4Quantizer, StoresAndLoadsFromBitsandbytes0413On) {
  int32_t serializable = 1;
  Load old(kNf4, kBfloat16, true, make_subject("0.41.2"));
  ASSERT_EQ(old->api().is_serializable(old->quantizer(), &serializable), QH_OK);
  EXPECT_EQ(serializable, 0);
  ASSERT_EQ(old->before_load(), QH_OK);
  const qh_status status = old->stream_parameters();
  expect_error(old, status, QH_ERR_VALUE, "bitsandbytes>=0.41.3");
  Load enough(kNf4, kBfloat16, true, make_subject("0.41.3"));
  ASSERT_EQ(enough->api().is_serializable(enough->quantizer(), &serializable), QH_OK);
  EXPECT_EQ(serializable, 1);
  int32_t trainable = 0;
  ASSERT_EQ(enough->api().is_trainable(enough->quantizer(), &trainable), QH_OK);
  EXPECT_EQ(trainable, 1);
}

TEST(Bnb4Quantizer, RefusesAStoredWeightWithoutItsState) {
  Load load(kNf4, kBfloat16, true);
  ASSERT_EQ(load->before_load(), QH_OK);
  const qh_status status = load->stream_parameters();
  expect_error(load, status, QH_ERR_VALUE, "quant_state.bitsandbytes__nf4");
}

TEST(Bnb4Quantizer, RefusesADamagedState) {
  Load first(kNf4);
  first->load();
  for (const char* victim : {".weight", ".weight.absmax", ".weight.quant_map"}) {
    Load second(kNf4, kBfloat16, true);
    for (auto& [name, tensor] : first->saved_tensors())
      second->model().checkpoint[name] = std::move(tensor);
    second->model().checkpoint[kUp + victim] = Owned(make_tensor({QH_DTYPE_UINT, 8, 1}, {7}));
    ASSERT_EQ(second->before_load(), QH_OK);
    const qh_status status = second->stream_parameters();
    expect_error(second, status, QH_ERR_VALUE, "'" + std::string(victim + 1) + "'");
  }
}

// The error that create() leaves for a config.
std::string create_error(const Load::Config& config) {
  try {
    Load load(config);
  } catch (const Failure& failure) {
    return failure.what();
  }
  return "created";
}

TEST(Bnb4Config, RefusesWhatBitsAndBytesConfigRefuses) {
  EXPECT_NE(create_error({{"load_in_8bit", true}}).find("both set"), std::string::npos);
  EXPECT_NE(create_error({{"load_in_4bit", false}, {"load_in_8bit", true}}).find("8-bit weights"),
            std::string::npos);
  EXPECT_NE(create_error({{"bnb_4bit_quant_type", "int4"}}).find("'int4'"), std::string::npos);
  EXPECT_NE(create_error({{"bnb_4bit_compute_dtype", "float99"}}).find("'float99'"),
            std::string::npos);
  EXPECT_NE(create_error({{"bnb_4bit_compute_dtype", "int8"}}).find("int8"), std::string::npos);
  EXPECT_NE(create_error({{"bnb_4bit_quant_storage", "int64"}}).find("int64"), std::string::npos);
  EXPECT_EQ(create_error({{"bnb_4bit_compute_dtype", "torch.float16"}}), "created");
}

}  // namespace
}  // namespace quanthost::conformance

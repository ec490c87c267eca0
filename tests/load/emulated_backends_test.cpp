// Every way to quantize that has kernels for accelerators, through the pipeline at both warp sizes:
// the bytes and results of the CPU, and back to a plain model where it lay.
#include "tests/load/emulated_devices.hpp"

namespace quanthost {
namespace {

using testing::HasSubstr;

constexpr const char* kDevices[] = {"emulated:0", "emulated:1"};

constexpr double kTolerance = 1e-4;  // of outputs, whose sums are taken in another order

struct Quantization {
  const char* name;
  const char* method;
  std::vector<std::string> settings;
  const char* golden = "llama";
  bool same_bytes = true;  // else see bnb4_devices_test.cpp
};

void PrintTo(const Quantization& quantization, std::ostream* out) { *out << quantization.name; }

class EmulatedBackends : public EmulatedDevices, public testing::WithParamInterface<Quantization> {
 protected:
  LoadedModel load_on(const char* device, LoadOptions how) {
    how.device_map = parse_device_map(device, "cuda");
    LoadedModel loaded = load_model(plugins(), how);
    EXPECT_FALSE(loaded.context->plugin_modules().empty());
    for (const auto& module : loaded.context->plugin_modules())
      EXPECT_EQ(module->exec().device(), device);
    return loaded;
  }
  // The model is saved below the device's name.
  LoadedModel load_and_save(const char* device, const LoadOptions& how) {
    LoadedModel loaded = load_on(device, how);
    save_model(loaded, folder_ / device);
    return loaded;
  }
  LoadOptions quantizing() {
    LoadOptions how = options(kGoldens / GetParam().golden);
    how.quantization = user_quantization(GetParam().method, GetParam().settings);
    return how;
  }
  at::Tensor output(LoadedModel& loaded) { return output_of(loaded, GetParam().golden); }
  void expect_same_bytes(const fs::path& a, const fs::path& b) {
    for (const char* file : {"model.safetensors", "config.json"})
      EXPECT_TRUE(read_text_file(a / file) == read_text_file(b / file)) << a << " " << file;
  }
};

class EmulatedQuantization : public EmulatedBackends {};

TEST_P(EmulatedQuantization, GivesTheWeightsOfTheCpu) {
  load_and_save("cpu", quantizing());
  LoadedModel here = load_model(plugins(), options(folder_ / "cpu"));
  const at::Tensor wanted = output(here);
  for (const char* device : kDevices) {
    load_and_save(device, quantizing());
    if (GetParam().same_bytes) expect_same_bytes(folder_ / device, folder_ / "cpu");
    LoadedModel moved = load_model(plugins(), options(folder_ / device));
    EXPECT_LT(relative_error(output(moved), wanted), 1e-5) << device;
  }
}

class EmulatedStoredModel : public EmulatedBackends {};

TEST_P(EmulatedStoredModel, GivesTheResultsOfTheCpuAndIsSavedAsItWas) {
  const fs::path stored = folder_ / "stored";
  {
    LoadedModel quantized = load_model(plugins(), quantizing());
    save_model(quantized, stored);
  }
  LoadedModel here = load_on("cpu", options(stored));
  const at::Tensor wanted = output(here);
  for (const char* device : kDevices) {
    LoadedModel there = load_and_save(device, options(stored));
    EXPECT_TRUE(there.quantizer->pre_quantized());
    expect_same_bytes(folder_ / device, stored);
    EXPECT_LT(relative_error(output(there), wanted), kTolerance) << device;
  }
}

class EmulatedDequantization : public EmulatedBackends {};

TEST_P(EmulatedDequantization, LeavesAPlainModelWhereItLay) {
  LoadedModel quantized = load_and_save("cpu", quantizing());
  const at::Tensor wanted = output(quantized);
  dequantize_model(quantized, to_qh_dtype(at::kFloat));
  const fs::path plain = folder_ / "plain";
  save_model(quantized, plain);
  for (const int index : {0, 1}) {
    LoadedModel there = load_on(kDevices[index], options(folder_ / "cpu"));
    const std::int64_t taken = memory(index).live;
    const std::size_t layers = there.context->plugin_modules().size();
    dequantize_model(there, to_qh_dtype(at::kFloat));
    EXPECT_TRUE(there.context->plugin_modules().empty());
    EXPECT_GT(memory(index).live, 0);
    EXPECT_LE(memory(index).live, taken) << "the quantized layers' memory is given back";
    EXPECT_GE(memory(index).live, static_cast<std::int64_t>(layers))
        << "each dense weight lies on the device";
    EXPECT_LT(relative_error(output(there), wanted), kTolerance);
    save_model(there, folder_ / "dequantized");
    expect_same_bytes(folder_ / "dequantized", plain);
    fs::remove_all(folder_ / "dequantized");
  }
}

class EmulatedCalibration : public EmulatedBackends {};

// int8 by int8 sums exactly, everywhere alike. Other sums differ in their last bits, and scales
// with them; of float8, whose codes lie up to a seventh apart, one that takes the other code would
// show in the scales behind it.
TEST_P(EmulatedCalibration, FindsTheScalesOfTheCpu) {
  load_and_save("cpu", quantizing());
  const fs::path here = folder_ / "cpu/model.safetensors";
  for (const char* device : kDevices) {
    load_and_save(device, quantizing());
    if (GetParam().same_bytes) expect_same_bytes(folder_ / device, folder_ / "cpu");
    const fs::path there = folder_ / device / "model.safetensors";
    const SafetensorsFile file = SafetensorsFile::open(here);
    for (const TensorInfo& info : file.tensors()) {
      const at::Tensor expected = stored(here, info.name), found = stored(there, info.name);
      if (info.name.ends_with("put_scale"))
        EXPECT_LT(relative_error(found, expected), 1e-5) << info.name;
      else
        EXPECT_TRUE(found.equal(expected)) << info.name;
    }
  }
}

Quantization bnb4(const char* name, const char* type, bool twice) {
  std::vector<std::string> settings{std::string("bnb_4bit_quant_type=") + type};
  if (twice) settings.emplace_back("bnb_4bit_use_double_quant=true");
  return {name, "bitsandbytes_4bit", settings, "llama", type == std::string("nf4") && !twice};
}

Quantization convolutions(const char* name, const char* weights) {
  return {name, "quanto", {std::string("weights=") + weights, "convolutions=true"}, "vit"};
}

// OPT has layer norms, whose outputs are quantized with the activations.
Quantization activations(const char* name, const char* weights, const char* values) {
  const char* const data =
      R"(calibration=[{"input_ids": [1, 5, 60, 2, 9, 17]}, {"input_ids": [44, 8, 31, 3, 12, 7]}])";
  return {name,
          "quanto",
          {std::string("weights=") + weights, std::string("activations=") + values, data},
          "opt",
          weights == std::string("int8") && values == std::string("int8")};
}

std::string name_of_case(const testing::TestParamInfo<Quantization>& info) {
  return info.param.name;
}

const Quantization kWeights[] = {bnb4("NF4", "nf4", false),
                                 bnb4("NF4DoubleQuant", "nf4", true),
                                 bnb4("FP4", "fp4", false),
                                 bnb4("FP4DoubleQuant", "fp4", true),
                                 {"QuantoInt8", "quanto", {"weights=int8"}},
                                 {"QuantoInt4", "quanto", {"weights=int4"}},
                                 {"QuantoInt2", "quanto", {"weights=int2"}},
                                 {"QuantoFloat8", "quanto", {"weights=float8"}},
                                 convolutions("QuantoInt8Convolutions", "int8"),
                                 convolutions("QuantoInt4Convolutions", "int4"),
                                 convolutions("QuantoFloat8Convolutions", "float8")};
const Quantization kCalibrated[] = {activations("QuantoInt8Activations", "int8", "int8"),
                                    activations("QuantoInt4Int8Activations", "int4", "int8")};

INSTANTIATE_TEST_SUITE_P(Backends, EmulatedQuantization, testing::ValuesIn(kWeights), name_of_case);
INSTANTIATE_TEST_SUITE_P(Backends, EmulatedStoredModel, testing::ValuesIn(kWeights), name_of_case);
INSTANTIATE_TEST_SUITE_P(Backends, EmulatedDequantization, testing::ValuesIn(kWeights),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Activations, EmulatedCalibration, testing::ValuesIn(kCalibrated),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Activations, EmulatedStoredModel,
                         testing::Values(kCalibrated[0], kCalibrated[1],
                                         activations("QuantoFloat8Activations", "float8",
                                                     "float8")),
                         name_of_case);

TEST_F(EmulatedDevices, RefuseToUndoALayerNormWhoseOutputIsQuantized) {
  LoadOptions how = options(kGoldens / "opt");
  const Quantization norms = activations("", "int8", "int8");
  how.quantization = user_quantization(norms.method, norms.settings);
  how.device_map = parse_device_map("emulated:0", "cuda");
  LoadedModel loaded = load_model(plugins(), how);
  const Error error = error_of([&] { dequantize_model(loaded, to_qh_dtype(at::kFloat)); });
  EXPECT_EQ(error.kind(), ErrorKind::kNotImplemented);
  EXPECT_THAT(error.what(), HasSubstr("layer_norm"));
}

}  // namespace
}  // namespace quanthost

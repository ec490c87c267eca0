// Checkpoints that are quantized already: what is read, repaired, refused and written again.
#include "tests/gptq/quantizer_fixture.hpp"

namespace quanthost::gptq::testing {
namespace {

using ::testing::HasSubstr;

const std::map<std::string, std::pair<std::int64_t, std::int64_t>> kLayers = {
    {kUp, {128, 96}},
    {"model.layers.0.gate_proj", {96, 130}},
    {"model.layers.0.down_proj", {160, 64}}};

struct Label {
  const char* name;
  WordLayout layout;
  ZeroFormat zeros;
};
constexpr Label kLabels[] = {{"gptq", WordLayout::continuous, ZeroFormat::v1},
                             {"gptq_v2", WordLayout::continuous, ZeroFormat::v2},
                             {"gptq_p", WordLayout::planar, ZeroFormat::v2}};

using Stored = std::map<std::string, StoredLayer>;

Stored put_layers(MockLoad& load, int bits, const Label& as, bool symmetric = true,
                  bool shuffled = false, std::int64_t group_size = 32) {
  Stored stored;
  for (const auto& [name, size] : kLayers) {
    const StoredLayer layer =
        StoredLayer::random(size.first, size.second, bits, group_size, symmetric, shuffled);
    layer.put(load.model(), name, as.layout, as.zeros);
    stored.emplace(name, layer);
  }
  return stored;
}

std::vector<float> dequantized(MockLoad& load, const std::string& name, qh_dtype dtype) {
  MockModule& module = *load.model().find(name);
  qh_managed_tensor* dense = nullptr;
  EXPECT_EQ(module.table.dequantize(module.state, load.exec(), dtype, &dense), QH_OK)
      << load.host().take_error().message;
  return floats(Owned(dense).view());
}

Config config_of(int bits, const std::string& format, bool symmetric = true,
                 std::int64_t group_size = 32) {
  return {{"bits", bits},
          {"group_size", group_size},
          {"sym", symmetric},
          {"checkpoint_format", format}};
}

class StoredModel : public ::testing::TestWithParam<std::tuple<int, Label, bool, bool>> {};

TEST_P(StoredModel, HasTheValuesOfItsCodesAndIsSavedByteForByte) {
  const auto& [bits, label, symmetric, shuffled] = GetParam();
  Gptq g;
  MockLoad load = g.load(config_of(bits, label.name, symmetric), true);
  const Stored stored = put_layers(load, bits, label, symmetric, shuffled);
  load.load();
  const SavedModel saved = load.save();
  for (const auto& [name, layer] : stored) {
    EXPECT_EQ(dequantized(load, name, qh::kFloat32), layer.dense()) << name;
    for (const char* part : {".qweight", ".qzeros", ".scales", ".g_idx"}) {
      const qh_tensor& in_file = load.model().checkpoint.at(name + part).view();
      const auto* bytes = static_cast<const unsigned char*>(data_of(in_file));
      EXPECT_EQ(saved.at(name + part).description, describe(in_file)) << name << part;
      EXPECT_EQ(saved.at(name + part).bytes,
                std::vector<unsigned char>(bytes, bytes + byte_count(in_file)))
          << name << part;
    }
  }
  EXPECT_EQ(g.host.warnings, 0);
}

INSTANTIATE_TEST_SUITE_P(Formats, StoredModel,
                         ::testing::Combine(::testing::Values(2, 3, 4, 8),
                                            ::testing::ValuesIn(kLabels), ::testing::Bool(),
                                            ::testing::Bool()),
                         [](const auto& info) {
                           return std::to_string(std::get<0>(info.param)) + "bits_" +
                                  std::get<1>(info.param).name +
                                  (std::get<2>(info.param) ? "_sym" : "_asym") +
                                  (std::get<3>(info.param) ? "_act_order" : "");
                         });

TEST(StoredGptqLayer, MultipliesAndDifferentiatesWithItsDenseWeight) {
  Gptq g;
  MockLoad load = g.load(config_of(4, "gptq"), true);
  const Stored stored = put_layers(load, 4, kLabels[0], true, /*shuffled=*/true);
  load.load();
  MockModule& up = *load.model().find(kUp);
  const std::vector<float> w = stored.at(kUp).unrounded();
  const Owned x(make_tensor(qh::kFloat32, {2, 3, 128})), y(make_tensor(qh::kFloat32, {2, 3, 96})),
      gradient(make_tensor(qh::kFloat32, {2, 3, 128}));
  for (std::int64_t i = 0; i < 6 * 128; ++i)
    write_element(x.view(), i, static_cast<double>((i * 7) % 13 - 6));
  ASSERT_EQ(up.table.forward(up.state, load.exec(), &x.view(), 1, &y.view()), QH_OK);
  const qh_tensor& bias = load.model().checkpoint.at(kUp + ".bias").view();
  for (std::int64_t b = 0; b < 6; ++b)
    for (std::int64_t n = 0; n < 96; ++n) {
      double expected = read_element(bias, n);
      for (std::int64_t k = 0; k < 128; ++k)
        expected += read_element(x.view(), b * 128 + k) * w[static_cast<std::size_t>(n * 128 + k)];
      EXPECT_NEAR(read_element(y.view(), b * 96 + n), expected, 1e-5);
    }
  ASSERT_EQ(up.table.backward_input(up.state, load.exec(), &y.view(), &x.view(), &gradient.view()),
            QH_OK)
      << g.host.take_error().message;
  for (std::int64_t k = 0; k < 128; ++k) {
    double expected = 0;
    for (std::int64_t n = 0; n < 96; ++n)
      expected += read_element(y.view(), n) * w[static_cast<std::size_t>(n * 128 + k)];
    EXPECT_NEAR(read_element(gradient.view(), k), expected, 1e-5);
  }
}

TEST(StoredGptqLayer, CountsItsMemoryAndRefusesAnInputOfAnotherWidth) {
  Gptq g;
  MockLoad load = g.load(config_of(4, "gptq"), true);
  put_layers(load, 4, kLabels[0], true, true);
  load.load();
  MockModule& up = *load.model().find(kUp);
  qh_module_memory memory{};
  memory.struct_size = sizeof memory;
  ASSERT_EQ(up.table.memory_bytes(up.state, &memory), QH_OK);
  EXPECT_EQ(memory.weight_bytes, 128u * 96 / 2);
  EXPECT_EQ(memory.overhead_bytes, 4u * 96 / 2 + 4 * 96 * 2 + 128 * 4 + 96 * 4);
  EXPECT_EQ(memory.runtime_bytes, 128u * 4) << "the order of the inputs";
  const Owned x(make_tensor(qh::kFloat32, {2, 127})), y(make_tensor(qh::kFloat32, {2, 96}));
  EXPECT_EQ(up.table.forward(up.state, load.exec(), &x.view(), 1, &y.view()), QH_ERR_VALUE);
  EXPECT_THAT(g.host.take_error().message, HasSubstr("[2, 127]"));
}

// Known from optimum with gptqmodel: tensors of one format, the label of the other.
TEST(StoredModelLabels, SymmetricZerosShowWhatTheyAreWhateverTheLabelSays) {
  for (const auto& [written, label, right] :
       {std::tuple(kLabels[0], "gptq_v2", "gptq"), std::tuple(kLabels[1], "gptq", "gptq_v2")}) {
    Gptq g;
    MockLoad load = g.load(config_of(4, label), true);
    const Stored stored = put_layers(load, 4, written);
    load.model().files["quantize_config.json"] =
        std::string(R"({"bits": 4, "checkpoint_format": ")") + label + R"("})";
    load.load();
    EXPECT_EQ(dequantized(load, kUp, qh::kFloat32), stored.at(kUp).dense());
    EXPECT_EQ(g.host.warnings, 1);
    EXPECT_EQ(saved_config(load).at("checkpoint_format"), right);
    EXPECT_EQ(OrderedJson::parse(saved_files(load).at("quantize_config.json")),
              (OrderedJson{{"bits", 4}, {"checkpoint_format", right}}));
    const SavedModel saved = load.save();
    const qh_tensor& in_file = load.model().checkpoint.at(kUp + ".qzeros").view();
    EXPECT_EQ(
        std::memcmp(saved.at(kUp + ".qzeros").bytes.data(), data_of(in_file), byte_count(in_file)),
        0);
  }
}

TEST(StoredModelFormats, AreWrittenOneForTheOtherByteForByte) {
  for (const int bits : {2, 3, 4, 8})
    for (const Label& from : kLabels)
      for (const Label& to : kLabels) {
        Gptq g;
        Config config = config_of(bits, from.name, false);
        config["save_format"] = to.name;
        MockLoad first = g.load(config, true);
        put_layers(first, bits, from, false, true);
        first.load();
        EXPECT_EQ(saved_config(first).at("checkpoint_format"), to.name);
        EXPECT_FALSE(saved_config(first).contains("save_format"));
        Gptq h;
        MockLoad expected = h.load(config_of(bits, to.name, false), true);
        put_layers(expected, bits, to, false, true);
        expected.load();
        EXPECT_EQ(first.save(), expected.save()) << bits << " " << from.name << " " << to.name;
      }
}

TEST(StoredModelLabels, AsymmetricZerosAreReadAsTheLabelSays) {
  Gptq g;
  MockLoad load = g.load(config_of(4, "gptq_v2", /*symmetric=*/false), true);
  put_layers(load, 4, kLabels[0], /*symmetric=*/true);  // they only look like v1
  load.load();
  EXPECT_EQ(g.host.warnings, 0);
  EXPECT_EQ(saved_config(load).at("checkpoint_format"), "gptq_v2");
}

TEST(StoredModelLabels, ALayerWithZerosOfItsOwnFollowsTheOthers) {
  Gptq g;
  MockLoad load = g.load(config_of(4, "gptq_v2"), true);
  put_layers(load, 4, kLabels[0]);
  const StoredLayer other = StoredLayer::random(128, 96, 4, 32, /*symmetric=*/false, false);
  other.put(load.model(), kUp, WordLayout::continuous, ZeroFormat::v1);
  load.load();
  EXPECT_EQ(dequantized(load, kUp, qh::kFloat32), other.dense());
}

TEST(StoredModelLabels, NoLabelMeansTheFirstFormat) {
  Gptq g;
  MockLoad load = g.load({{"bits", 4}, {"group_size", 32}, {"sym", false}}, true);
  const Stored stored = put_layers(load, 4, kLabels[0], /*symmetric=*/false);
  load.load();
  EXPECT_EQ(dequantized(load, kUp, qh::kFloat32), stored.at(kUp).dense());
}

TEST(StoredModelLayers, TakesBitsAndGroupsOfEachLayerFromItsTensors) {
  Gptq g;
  MockLoad load = g.load(config_of(4, "gptq"), true);
  put_layers(load, 4, kLabels[0]);
  const StoredLayer other = StoredLayer::random(128, 96, 8, 64, true, false);
  other.put(load.model(), kUp, WordLayout::continuous, ZeroFormat::v1);
  load.load();
  EXPECT_EQ(dequantized(load, kUp, qh::kFloat32), other.dense());
}

TEST(StoredModelLayers, LeavesALayerDenseThatTheCheckpointHoldsDense) {
  Gptq g;
  MockLoad load = g.load(config_of(4, "gptq"), true);
  StoredLayer::random(128, 96, 4, 32, true, false)
      .put(load.model(), kUp, WordLayout::continuous, ZeroFormat::v1);
  load.load();
  EXPECT_NE(load.model().find(kUp)->klass, nullptr);
  EXPECT_EQ(load.model().find("model.layers.0.gate_proj")->klass, nullptr);
}

TEST(StoredModelLayers, GroupsRowsInOrderWhereTheCheckpointHasNoGroupIndex) {
  Gptq g;
  MockLoad load = g.load(config_of(4, "gptq"), true);
  const Stored stored = put_layers(load, 4, kLabels[0]);
  load.model().checkpoint.erase(kUp + ".g_idx");
  load.load();
  EXPECT_EQ(dequantized(load, kUp, qh::kFloat32), stored.at(kUp).dense());
  std::vector<std::string> left;
  const std::string key = kUp + ".g_idx", other = "model.layers.0.gate_proj.g_idx";
  const qh_str keys[] = {qh::to_abi(key), qh::to_abi(other)};
  ASSERT_EQ(load.api().update_missing_keys(load.quantizer(), load.model().handle(), {keys, 2},
                                           qh::to_abi(""), qh::string_sink(left)),
            QH_OK);
  EXPECT_EQ(left, std::vector{other});
}

TEST(StoredModelLayers, AddsABiasThatOnlyTheCheckpointHas) {
  Gptq g;
  MockLoad load = g.load(config_of(4, "gptq"), true);
  put_layers(load, 4, kLabels[0]);
  const std::string gate = "model.layers.0.gate_proj";
  load.model().checkpoint[gate + ".bias"] =
      owned(qh::kFloat32, {130}, std::vector<float>(130, 2.5f));
  load.load();
  MockModule& module = *load.model().find(gate);
  const Owned x(make_tensor(qh::kFloat32, {1, 96})), y(make_tensor(qh::kFloat32, {1, 130}));
  for (std::int64_t i = 0; i < 96; ++i) write_element(x.view(), i, 0);
  ASSERT_EQ(module.table.forward(module.state, load.exec(), &x.view(), 1, &y.view()), QH_OK);
  EXPECT_EQ(floats(y.view()), std::vector<float>(130, 2.5f));
  EXPECT_TRUE(load.save().contains(gate + ".bias"));
}

TEST(StoredModelLayers, BecomesDenseAgain) {
  Gptq g;
  MockLoad load = g.load(config_of(3, "gptq"), true);
  const Stored stored = put_layers(load, 3, kLabels[0], false, true);
  load.load();
  ASSERT_EQ(
      load.api().dequantize(load.quantizer(), load.exec(), load.model().handle(), qh::kFloat32),
      QH_OK);
  EXPECT_TRUE(load.replaced().empty());
  EXPECT_EQ(floats(load.model().parameters.at(kUp + ".weight").view()), stored.at(kUp).dense());
}

// -- what is refused

std::string load_error(MockLoad& load) {
  qh_status status = load.before_load();
  if (status == QH_OK) status = load.stream_parameters();
  if (status == QH_OK) status = load.after_load();
  return status == QH_OK ? "loaded" : load.host().take_error().message;
}

TEST(DamagedModel, IsRefusedWithTheTensorAndWhatItNeeds) {
  struct Damage {
    const char* part;
    Owned tensor;
    const char* text;
  };
  std::vector<Damage> damages;
  damages.push_back({".qweight", Owned(make_tensor(qh::kInt32, {17, 96})), "17 rows of words"});
  damages.push_back(
      {".qweight", Owned(make_tensor(qh::kInt32, {16, 95})), "'qweight' has shape [16, 95]"});
  damages.push_back({".qzeros", Owned(make_tensor(qh::kInt32, {3, 12})),
                     "'qzeros' has shape [3, 12]; a layer of 128 inputs and 96 outputs in 4 bits "
                     "and 4 groups has [4, 12]"});
  damages.push_back({".scales", Owned(make_tensor(qh::kInt32, {4, 96})),
                     "'scales' has element type int32; needed is float16"});
  damages.push_back({".g_idx", Owned(make_tensor(qh::kFloat32, {128})),
                     "'g_idx' has element type float32; needed is int32"});
  damages.push_back({".g_idx", owned(qh::kInt32, {128}, std::vector<std::int32_t>(128, 4)),
                     "g_idx[0] is 4, and there are 4 groups"});
  for (Damage& damage : damages) {
    Gptq g;
    MockLoad load = g.load(config_of(4, "gptq"), true);
    put_layers(load, 4, kLabels[0]);
    load.model().checkpoint[kUp + damage.part] = std::move(damage.tensor);
    EXPECT_THAT(load_error(load), HasSubstr(damage.text));
  }
}

TEST(DamagedModel, WithoutAnyQuantizedTensorGetsItsLayersByTheConfig) {
  Gptq g;
  MockLoad load = g.load(config_of(4, "gptq"), true);
  ASSERT_EQ(load.before_load(), QH_OK);
  EXPECT_EQ(load.replaced().size(), 3u) << "so that the host names the missing tensors";
  Gptq h;
  MockLoad some = h.load(
      {{"modules_in_block_to_quantize", OrderedJson::parse(R"([["up_proj"], ["down_proj"]])")}},
      true);
  ASSERT_EQ(some.before_load(), QH_OK);
  EXPECT_EQ(some.replaced().size(), 2u);
}

TEST(StoredModelLayers, IsRefusedInFormatsOfSingleKernelsAndOtherWords) {
  Gptq g;
  EXPECT_THAT(failure_of([&] { g.load(config_of(4, "marlin"), true); }),
              HasSubstr("checkpoint_format is 'marlin', which cannot be read"));
  EXPECT_THAT(failure_of([&] { g.load({{"format", "GPTQ_V3"}}, true); }), HasSubstr("gptq_v3"));
  MockLoad upper = g.load({{"format", "GPTQ_V2"}}, true);
}

}  // namespace
}  // namespace quanthost::gptq::testing

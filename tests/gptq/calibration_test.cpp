// Quantizing with calibration data: what reaches the solver, what comes of it, and going on after
// an interruption.
#include <nlohmann/json.hpp>

#include "algorithm/round_to_nearest.hpp"
#include "algorithm/solver.hpp"
#include "quantizer/packed_layer.hpp"
#include "tests/gptq/quantizer_fixture.hpp"

namespace quanthost::gptq::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kGate = "model.layers.0.gate_proj";
const std::string kDown = "model.layers.0.down_proj";

Owned random_input(std::int64_t tokens, std::int64_t columns, std::uint64_t seed) {
  Owned x(make_tensor(qh::kFloat32, {tokens, columns}));
  std::mt19937_64 engine(seed);
  for (std::int64_t i = 0; i < tokens * columns; ++i)
    write_element(x.view(), i,
                  (static_cast<double>(engine() >> 11) * 0x1p-52 - 1.0) * (1 + i % columns % 5));
  return x;
}

// A calibration whose layers are given inputs that depend on their name and the batch alone.
struct Calibrated : Gptq {
  FakeCalibration fake;
  std::vector<std::vector<std::string>> runs;  // the layers of each run of a block

  Calibrated() {
    fake.input = [](const std::string& layer, std::uint64_t batch) {
      const std::int64_t columns = layer == kUp ? 128 : layer == kGate ? 96 : 160;
      return random_input(40, columns, std::hash<std::string>()(layer) + batch);
    };
    fake.on_run = [this](std::uint64_t, std::vector<std::string> layers) {
      runs.push_back(std::move(layers));
    };
  }
  static Config config(Config more = {}) {
    Config config{{"bits", 4}, {"group_size", 32}, {"dataset", "corpus.txt"}};
    for (auto& [key, value] : more) config[key] = value;
    return config;
  }
};

void serial(std::int64_t count, const RangeBody& body) { body(0, count); }

Hessian hessian_of(const FakeCalibration& fake, const std::string& layer, std::int64_t columns) {
  Hessian hessian(columns);
  for (std::uint64_t batch = 0; batch < fake.batches; ++batch)
    hessian.add(floats(fake.input(layer, batch).view()), 40, 1, serial);
  return hessian;
}

TEST(Calibration, StoresWhatTheSolverMakesOfEveryLayersInputs) {
  for (const bool desc_act : {false, true}) {
    Calibrated r;
    MockLoad load = r.load(Calibrated::config({{"desc_act", desc_act}, {"sym", false}}));
    const std::map<std::string, std::pair<std::int64_t, std::int64_t>> layers = {
        {kUp, {128, 96}}, {kGate, {96, 130}}, {kDown, {160, 64}}};
    std::map<std::string, PackedLayer> expected;
    SolverOptions options;
    options.grid = {4, false, 0.0f};
    options.group_size = 32;
    options.desc_act = desc_act;
    options.act_group_aware = !desc_act;
    options.damp_percent = 0.1f;
    options.damp_increment = 0.01f;
    for (const auto& [name, size] : layers)
      expected[name] = pack_layer(
          quantize_layer(floats(load.model().checkpoint.at(name + ".weight").view()), size.second,
                         prepare(hessian_of(r.fake, name, size.first), options, serial), options,
                         serial),
          4);
    load.load();
    for (const auto& [name, size] : layers) {
      MockModule& module = *load.model().find(name);
      ASSERT_NE(module.klass, nullptr) << name;
      qh_managed_tensor* dense = nullptr;
      ASSERT_EQ(module.table.dequantize(module.state, load.exec(), qh::kFloat32, &dense), QH_OK);
      const std::vector<float> found = floats(Owned(dense).view());
      const std::vector<float> wanted = dense_values(expected.at(name));
      // The Hessians are summed in another order: a code at a rounding boundary may move.
      std::size_t different = 0;
      for (std::size_t i = 0; i < found.size(); ++i) different += found[i] != wanted[i];
      EXPECT_LE(different, found.size() / 100) << name;
    }
    EXPECT_EQ(load.model().find("lm_head")->klass, nullptr);
    EXPECT_EQ(r.fake.open_runs, 0);
    EXPECT_THAT(r.fake.advanced, ElementsAre(0));
  }
}

// The second batch has no counterpart in the original model.
TEST(Calibration, GivesGptaqTheDriftOfEveryLayersInputs) {
  Calibrated r;
  r.fake.original = [](const std::string& layer, std::uint64_t batch) {
    if (batch == 1) return Owned();
    const std::int64_t columns = layer == kUp ? 128 : layer == kGate ? 96 : 160;
    return random_input(40, columns, 77 + batch);
  };
  MockLoad load = r.load(Calibrated::config({{"gptaq", OrderedJson{{"alpha", 0.5}}}}));
  SolverOptions options;
  options.group_size = 32;
  options.damp_percent = 0.1f;
  options.damp_increment = 0.01f;
  options.gptaq_alpha = 0.5f;
  const std::int64_t columns = 128;
  std::vector<float> drift(static_cast<std::size_t>(columns * columns));
  for (std::uint64_t batch = 0; batch < r.fake.batches; ++batch) {
    if (batch == 1) continue;
    const std::vector<float> now = floats(r.fake.input(kUp, batch).view()),
                             before = floats(r.fake.original(kUp, batch).view());
    for (std::int64_t t = 0; t < 40; ++t)
      for (std::int64_t i = 0; i < columns; ++i)
        for (std::int64_t j = 0; j < columns; ++j) {
          const auto at = [&](std::int64_t c) { return static_cast<std::size_t>(t * columns + c); };
          drift[static_cast<std::size_t>(i * columns + j)] +=
              2.0f / static_cast<float>(r.fake.batches) * (before[at(i)] - now[at(i)]) * now[at(j)];
        }
  }
  const auto solved = [&](std::span<const float> with) {
    return dense_values(
        pack_layer(quantize_layer(floats(load.model().checkpoint.at(kUp + ".weight").view()), 96,
                                  prepare(hessian_of(r.fake, kUp, columns), options, serial, with),
                                  options, serial),
                   4));
  };
  const std::vector<float> wanted = solved(drift), plain = solved({});
  load.load();
  MockModule& module = *load.model().find(kUp);
  qh_managed_tensor* dense = nullptr;
  ASSERT_EQ(module.table.dequantize(module.state, load.exec(), qh::kFloat32, &dense), QH_OK);
  const std::vector<float> found = floats(Owned(dense).view());
  std::size_t different = 0, corrected = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    different += found[i] != wanted[i];
    corrected += found[i] != plain[i];
  }
  EXPECT_LE(different, found.size() / 100);
  EXPECT_GT(corrected, found.size() / 10);
  EXPECT_THAT(r.fake.advanced, ElementsAre(0));
}

TEST(Calibration, HandsTheDataOverAsTheOptionsSay) {
  Calibrated file;
  file.load(Calibrated::config({{"nsamples", 17}, {"model_seqlen", 99}})).load();
  EXPECT_EQ(file.fake.dataset, "\"corpus.txt\"");
  EXPECT_EQ(file.fake.sample_count, 17u);
  EXPECT_EQ(file.fake.sequence_length, 99u);
  Calibrated list;
  list.load(Calibrated::config({{"dataset", OrderedJson::parse(R"(["a", "b"])")}})).load();
  EXPECT_EQ(list.fake.dataset, R"(["a","b"])");
  EXPECT_EQ(list.fake.sample_count, 0u) << "a list is taken whole";
  EXPECT_EQ(list.fake.sequence_length, 0u) << "the host knows the model's longest input";
}

TEST(Calibration, TakesEveryLayerAloneOrAllAtOnceOrAsTheUserSays) {
  Calibrated alone;
  alone.load(Calibrated::config()).load();
  EXPECT_THAT(alone.runs, ElementsAre(ElementsAre(kUp, kGate, kDown), ElementsAre(kUp),
                                      ElementsAre(kGate), ElementsAre(kDown)));
  Calibrated together;
  together.load(Calibrated::config({{"true_sequential", false}})).load();
  EXPECT_THAT(together.runs,
              ElementsAre(ElementsAre(kUp, kGate, kDown), ElementsAre(kUp, kGate, kDown)));
  Calibrated chosen;
  MockLoad some = chosen.load(Calibrated::config(
      {{"modules_in_block_to_quantize", OrderedJson::parse(R"([["down_proj"], ["up_proj"]])")}}));
  some.load();
  EXPECT_THAT(chosen.runs,
              ElementsAre(ElementsAre(kDown, kUp), ElementsAre(kDown), ElementsAre(kUp)));
  EXPECT_EQ(some.replaced().size(), 2u);
}

TEST(Calibration, NamesAModuleThatNoBlockHas) {
  Calibrated r;
  MockLoad load = r.load(Calibrated::config(
      {{"modules_in_block_to_quantize", OrderedJson::parse(R"([["q_proj"]])")}}));
  ASSERT_EQ(load.before_load(), QH_OK);
  ASSERT_EQ(load.stream_parameters(), QH_OK);
  EXPECT_EQ(load.after_load(), QH_ERR_VALUE);
  const RecordedError error = r.host.take_error();
  EXPECT_THAT(error.message,
              HasSubstr("names 'q_proj', and no block of the model has such a layer"));
  EXPECT_THAT(error.hint, HasSubstr("down_proj, gate_proj, up_proj"));
}

// up_proj and a second layer of the same width are given one tensor.
struct SharedInputs : Calibrated {
  std::string twin = "model.layers.0.twin_proj";
  bool differ_in_block_1 = false;

  SharedInputs() {
    fake.layers["model.layers.0"] = {kUp, twin, kDown};
    fake.input = [this](const std::string& layer, std::uint64_t batch) {
      const bool moved = differ_in_block_1 && layer.find(".1.twin") != std::string::npos;
      return random_input(40, layer.find("down") == std::string::npos ? 128 : 160,
                          batch + (moved ? 100 : 0));
    };
  }
  void add_twin(MockLoad& load, int block = 0) const {
    MockModel& model = load.model();
    const std::string prefix = "model.layers." + std::to_string(block);
    for (const auto& [leaf, in, out] :
         {std::tuple("up_proj", 128, 96), std::tuple("twin_proj", 128, 64),
          std::tuple("down_proj", 160, 64)}) {
      const std::string name = prefix + "." + leaf;
      if (model.find(name)) continue;
      model.modules.push_back({name, "Linear", prefix, in, out, false});
      model.checkpoint[name + ".weight"] = random_input(out, in, 5);
    }
  }
};

TEST(Calibration, SumsOneHessianForLayersWithTheSameInput) {
  SharedInputs r;
  MockLoad load = r.load(Calibrated::config());
  r.add_twin(load);
  load.load();
  EXPECT_THAT(r.runs, ElementsAre(ElementsAre(kUp, r.twin, kDown), ElementsAre(kUp, r.twin),
                                  ElementsAre(kDown)));
  SharedInputs apart;  // the same inputs, each layer summed for itself
  MockLoad one = apart.load(Calibrated::config(
      {{"modules_in_block_to_quantize", OrderedJson::parse(R"([["twin_proj"]])")}}));
  apart.add_twin(one);
  one.load();
  const SavedModel shared = load.save(), alone = one.save();
  EXPECT_EQ(shared.at(r.twin + ".qweight"), alone.at(r.twin + ".qweight"));
}

TEST(Calibration, LooksAgainWhereABlockIsWiredDifferently) {
  SharedInputs r;
  r.differ_in_block_1 = true;
  r.fake.blocks.push_back("model.layers.1");
  const std::string up = "model.layers.1.up_proj", twin = "model.layers.1.twin_proj";
  r.fake.layers["model.layers.1"] = {up, twin, "model.layers.1.down_proj"};
  MockLoad load = r.load(Calibrated::config());
  r.add_twin(load);
  r.add_twin(load, 1);
  load.load();
  EXPECT_THAT(r.runs.at(3), ElementsAre(up, twin)) << "as in the first block";
  EXPECT_THAT(r.runs.at(4), ElementsAre(up, twin, "model.layers.1.down_proj")) << "looked again";
  EXPECT_THAT(r.runs.at(5), ElementsAre(up));
  EXPECT_THAT(r.runs.at(6), ElementsAre(twin));
}

TEST(Calibration, ReportsErrorsBesideRoundingToNearest) {
  Calibrated r;
  MockLoad load = r.load(Calibrated::config());
  load.load();
  const OrderedJson report = OrderedJson::parse(saved_files(load).at("gptq_report.json"));
  EXPECT_EQ(report.at("schema"), "quanthost.gptq-report/1");
  ASSERT_EQ(report.at("layers").size(), 3u);
  for (const OrderedJson& layer : report.at("layers")) {
    EXPECT_EQ(layer.at("bits"), 4);
    EXPECT_EQ(layer.at("group_size"), 32);
    EXPECT_GT(layer.at("error").get<double>(), 0);
    EXPECT_LT(layer.at("error").get<double>(), layer.at("rtn_error").get<double>());
    EXPECT_GT(layer.at("loss").get<double>(), 0);
    EXPECT_GE(layer.at("seconds").get<double>(), 0);
    EXPECT_LT(layer.at("bytes_after").get<int>(), layer.at("bytes_before").get<int>());
    EXPECT_EQ(layer.at("samples"), 4);
  }
  EXPECT_EQ(OrderedJson::parse(load.model().attributes.at("gptq_report")), report);
}

TEST(Calibration, DoesNotDependOnThreads) {
  SavedModel first;
  for (const std::uint32_t threads : {1u, 2u, 5u}) {
    Calibrated r;
    MockLoad load = r.load(Calibrated::config({{"desc_act", true}}), false, qh::kFloat32, threads);
    load.load();
    if (first.empty())
      first = load.save();
    else
      EXPECT_EQ(load.save(), first) << threads << " threads";
  }
}

TEST(Calibration, SavedInEveryFormatLoadsAgainWithTheSameValues) {
  for (const int bits : {2, 3, 4, 8})
    for (const char* format : {"gptq", "gptq_v2", "gptq_p"}) {
      Calibrated r;
      const Config config =
          Calibrated::config({{"bits", bits}, {"format", format}, {"desc_act", true}});
      MockLoad first = r.load(config);
      first.load();
      Gptq g;
      MockLoad second = g.load(config, true);
      for (const MockModule* module : first.replaced())
        second.model().checkpoint.erase(module->name + ".weight");
      for (auto& [name, tensor] : first.saved_tensors())
        second.model().checkpoint[name] = std::move(tensor);
      second.load();
      EXPECT_EQ(second.save(), first.save()) << bits << " " << format;
      EXPECT_EQ(g.host.warnings, 0) << bits << " " << format;
      const auto dense = [](MockLoad& load) {
        MockModule& up = *load.model().find(kUp);
        qh_managed_tensor* out = nullptr;
        EXPECT_EQ(up.table.dequantize(up.state, load.exec(), qh::kFloat32, &out), QH_OK);
        return floats(Owned(out).view());
      };
      EXPECT_EQ(dense(second), dense(first)) << bits << " " << format;
    }
}

TEST(Calibration, ReadsAConv1dTransposed) {
  SavedModel saved[2];
  for (const bool conv : {false, true}) {
    Calibrated r;
    MockLoad load = r.load(Calibrated::config());
    if (conv) {
      Owned& weight = load.model().checkpoint.at(kUp + ".weight");
      Owned turned(make_tensor(qh::kFloat32, {128, 96}));
      for (std::int64_t n = 0; n < 96; ++n)
        for (std::int64_t k = 0; k < 128; ++k)
          write_element(turned.view(), k * 96 + n, read_element(weight.view(), n * 128 + k));
      weight = std::move(turned);
      load.model().find(kUp)->class_name = "Conv1D";
    }
    load.load();
    saved[conv] = load.save();
  }
  EXPECT_EQ(saved[0], saved[1]);
}

TEST(Calibration, RoundsALayerToNearestThatNoSampleReaches) {
  Calibrated r;
  const auto input = r.fake.input;
  r.fake.input = [input](const std::string& layer, std::uint64_t batch) {
    return layer == kGate ? Owned() : input(layer, batch);
  };
  MockLoad load = r.load(Calibrated::config());
  const std::vector<float> weight = floats(load.model().checkpoint.at(kGate + ".weight").view());
  load.load();
  EXPECT_EQ(r.host.warnings, 1);
  MockModule& gate = *load.model().find(kGate);
  qh_managed_tensor* dense = nullptr;
  ASSERT_EQ(gate.table.dequantize(gate.state, load.exec(), qh::kFloat32, &dense), QH_OK);
  const std::vector<float> found = floats(Owned(dense).view());
  SolverOptions options;
  options.group_size = 32;
  const std::vector<float> nearest = round_to_nearest(weight, 130, 96, options, serial);
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], nearest[i], 1e-3 * std::abs(nearest[i]) + 1e-7);
}

// -- interruptions

// Two blocks, so that one can be finished when the run ends.
struct TwoBlocks : SharedInputs {
  TwoBlocks() {
    fake.blocks.push_back("model.layers.1");
    fake.layers["model.layers.1"] = {"model.layers.1.up_proj", "model.layers.1.twin_proj",
                                     "model.layers.1.down_proj"};
  }
  static Config config() { return Calibrated::config({{"journal", "journal"}}); }
};

TEST(InterruptedCalibration, GoesOnAtItsBlockAndEndsWithTheSameBytes) {
  SavedModel uninterrupted;
  {
    TwoBlocks r;
    MockLoad load = r.load(TwoBlocks::config());
    r.add_twin(load), r.add_twin(load, 1);
    load.load();
    uninterrupted = load.save();
  }
  std::map<std::string, std::vector<unsigned char>> journal;
  {
    TwoBlocks r;
    MockLoad load = r.load(TwoBlocks::config());
    r.add_twin(load), r.add_twin(load, 1);
    r.fake.on_run = [&](std::uint64_t block, std::vector<std::string>) {
      if (block == 1) r.host.cancelled = true;
    };
    ASSERT_EQ(load.before_load(), QH_OK);
    ASSERT_EQ(load.stream_parameters(), QH_OK);
    EXPECT_EQ(load.after_load(), QH_ERR_CANCELLED);
    EXPECT_EQ(r.fake.open_runs, 0);
    journal = r.fake.journal;
    ASSERT_EQ(journal.size(), 1u);
  }
  TwoBlocks r;
  r.fake.journal = journal;
  MockLoad load = r.load(TwoBlocks::config());
  r.add_twin(load), r.add_twin(load, 1);
  std::vector<std::uint64_t> run;
  r.fake.on_run = [&](std::uint64_t block, std::vector<std::string>) { run.push_back(block); };
  load.load();
  EXPECT_THAT(run, ::testing::Each(1u));
  EXPECT_THAT(r.fake.advanced, ElementsAre(0, 1));
  EXPECT_EQ(load.save(), uninterrupted);
  EXPECT_EQ(OrderedJson::parse(saved_files(load).at("gptq_report.json")).at("layers").size(), 6u);
}

TEST(InterruptedCalibration, RefusesADamagedJournal) {
  std::vector<unsigned char> whole;
  {
    TwoBlocks r;
    MockLoad load = r.load(TwoBlocks::config());
    r.add_twin(load), r.add_twin(load, 1);
    load.load();
    whole = r.fake.journal.at("block.0");
  }
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{7}, std::size_t{8}, std::size_t{100}, whole.size() - 1}) {
    TwoBlocks r;
    r.fake.journal["block.0"] = {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)};
    MockLoad load = r.load(TwoBlocks::config());
    r.add_twin(load), r.add_twin(load, 1);
    ASSERT_EQ(load.before_load(), QH_OK);
    ASSERT_EQ(load.stream_parameters(), QH_OK);
    EXPECT_EQ(load.after_load(), QH_ERR_VALUE) << size;
    EXPECT_THAT(r.host.take_error().message, HasSubstr("journal"));
  }
}

TEST(Calibration, NeedsAHostThatOffersIt) {
  Calibrated r;
  r.host.api.get_service = [](qh_host*, qh_str id) -> const void* {
    return find_service(qh::from_abi(id));
  };
  MockLoad load = r.load(Calibrated::config());
  ASSERT_EQ(load.before_load(), QH_OK);
  ASSERT_EQ(load.stream_parameters(), QH_OK);
  EXPECT_EQ(load.after_load(), QH_ERR_RUNTIME);
  EXPECT_THAT(r.host.take_error().message, HasSubstr("does not offer qh.calibration/1"));
}

TEST(Calibration, NamesTheLayerWhoseHessianCannotBeFactored) {
  Calibrated r;
  r.fake.input = [](const std::string& layer, std::uint64_t) {
    Owned x(make_tensor(qh::kFloat32, {4, layer == kUp ? 128 : layer == kGate ? 96 : 160}));
    for (std::int64_t i = 0; i < element_count(x.view()); ++i) write_element(x.view(), i, NAN);
    return x;
  };
  MockLoad load = r.load(Calibrated::config({{"damp_auto_increment", 0.0}}));
  ASSERT_EQ(load.before_load(), QH_OK);
  ASSERT_EQ(load.stream_parameters(), QH_OK);
  EXPECT_EQ(load.after_load(), QH_ERR_RUNTIME);
  EXPECT_THAT(r.host.take_error().message, HasSubstr(kUp + ": the Hessian of 128 inputs"));
}

}  // namespace
}  // namespace quanthost::gptq::testing

// The solver against AutoGPTQ's results for one small layer, and its parts against their
// definitions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <quanthost/plugin/error.hpp>
#include <random>
#include <thread>

#include "algorithm/cholesky.hpp"
#include "algorithm/solver.hpp"

namespace quanthost::gptq {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

void serial(std::int64_t count, const RangeBody& body) { body(0, count); }
// One item at a time, the last one first.
void backwards(std::int64_t count, const RangeBody& body) {
  for (std::int64_t i = count; i-- > 0;) body(i, i + 1);
}
void three_threads(std::int64_t count, const RangeBody& body) {
  std::vector<std::thread> threads;
  for (std::int64_t t = 0; t < 3; ++t)
    threads.emplace_back([&, t] { body(count * t / 3, count * (t + 1) / 3); });
  for (std::thread& thread : threads) thread.join();
}

// -- the small layer

constexpr std::int64_t kColumns = 8, kRows = 2, kTokens = 6;

Hessian small_hessian() {
  std::vector<float> x;
  for (int i = 0; i < kTokens; ++i)
    for (int j = 0; j < kColumns; ++j)
      x.push_back(static_cast<float>((7 * i + 5 * j + (i * j) % 3) % 11 - 5) / 4.0f *
                  (j == 2 || j == 5 ? 1.5f : 1.0f));
  Hessian hessian(kColumns);
  hessian.add(x, kTokens, 1, serial);
  return hessian;
}
std::vector<float> small_weight() {
  std::vector<float> w;
  for (int o = 0; o < kRows; ++o)
    for (int j = 0; j < kColumns; ++j)
      w.push_back(static_cast<float>((13 * o + 29 * j) % 17 - 8) / 8.0f);
  return w;
}
SolverOptions asymmetric() {
  SolverOptions options;
  options.grid.symmetric = false;
  options.group_size = 4;
  return options;
}
QuantizedLayer solve(const SolverOptions& options) {
  return quantize_layer(small_weight(), kRows, prepare(small_hessian(), options, serial), options,
                        serial);
}

TEST(GptqHessian, HasUpstreamsDiagonal) {
  const std::vector<float> h = small_hessian().matrix();
  std::vector<float> diagonal;
  for (std::size_t i = 0; i < kColumns; ++i) diagonal.push_back(h[i * kColumns + i]);
  EXPECT_THAT(diagonal, testing::Pointwise(testing::FloatEq(),
                                           std::vector<float>{8.5f, 8.375f, 18.84375f, 7.5f, 4.875f,
                                                              16.59375f, 8.5f, 8.875f}));
}

TEST(GptqSolver, QuantizesAsymmetricallyAsUpstream) {
  const QuantizedLayer q = solve(asymmetric());
  EXPECT_THAT(q.codes, ElementsAre(0, 15, 9, 3, 13, 7, 0, 15, 12, 6, 0, 15, 12, 6, 0, 15));
  EXPECT_THAT(q.scales, Each(0.1f));
  EXPECT_THAT(q.zeros, ElementsAre(10, 5, 6, 10));
  EXPECT_THAT(q.g_idx, ElementsAre(0, 0, 0, 0, 1, 1, 1, 1));
}

TEST(GptqSolver, FollowsTheOrderOfActivationsAsUpstream) {
  SolverOptions options = asymmetric();
  options.desc_act = true;
  const QuantizedLayer q = solve(options);
  EXPECT_THAT(q.codes, ElementsAre(0, 14, 6, 1, 15, 8, 3, 15, 15, 8, 0, 15, 10, 3, 0, 14));
  EXPECT_THAT(q.scales, ElementsAre(.13333334f, .1f, .083333336f, .125f));
  EXPECT_THAT(q.zeros, ElementsAre(7, 8, 8, 8));
  EXPECT_THAT(q.g_idx, ElementsAre(0, 1, 0, 1, 1, 0, 1, 0));
}

TEST(GptqSolver, KeepsStaticGroupsInActivationOrderAsUpstream) {
  SolverOptions options = asymmetric();
  options.desc_act = options.static_groups = true;
  const QuantizedLayer q = solve(options);
  EXPECT_THAT(q.codes, ElementsAre(0, 15, 9, 2, 11, 6, 0, 14, 12, 5, 0, 14, 10, 6, 0, 14));
  EXPECT_THAT(q.scales, Each(0.1f));
  EXPECT_THAT(q.zeros, ElementsAre(10, 5, 6, 10));
  EXPECT_THAT(q.g_idx, ElementsAre(0, 0, 0, 0, 1, 1, 1, 1));
}

TEST(GptqSolver, QuantizesSymmetricallyAsUpstream) {
  SolverOptions options = asymmetric();
  options.grid.symmetric = true;
  const QuantizedLayer q = solve(options);
  EXPECT_THAT(q.codes, ElementsAre(1, 12, 8, 3, 14, 10, 5, 15, 13, 8, 2, 15, 10, 5, 0, 11));
  EXPECT_THAT(q.scales, ElementsAre(.13333334f, .13333334f, .11666667f, .13333334f));
  EXPECT_THAT(q.zeros, Each(8));
}

TEST(GptqSolver, SearchesTheGridOfLeastErrorAsUpstream) {
  SolverOptions options = asymmetric();
  options.grid = {4, true, 2.4f};
  const QuantizedLayer q = solve(options);
  EXPECT_THAT(q.codes, ElementsAre(0, 12, 7, 2, 14, 9, 4, 15, 13, 8, 2, 15, 10, 4, 0, 12));
  EXPECT_THAT(q.scales, ElementsAre(.12533334f, .13333334f, .11666667f, .12533334f));
}

TEST(GptqSolver, UsesOneGroupForTheWholeRowAsUpstream) {
  SolverOptions options = asymmetric();
  options.group_size = -1;
  const QuantizedLayer q = solve(options);
  EXPECT_THAT(q.codes, ElementsAre(0, 11, 7, 2, 13, 9, 4, 15, 13, 8, 3, 15, 10, 5, 0, 12));
  EXPECT_THAT(q.scales, ElementsAre(.13333334f, .125f));
  EXPECT_THAT(q.zeros, ElementsAre(7, 8));
  EXPECT_THAT(q.g_idx, Each(0));
}

TEST(GptqSolver, QuantizesToTwoBitsAsUpstream) {
  SolverOptions options = asymmetric();
  options.grid.bits = 2;
  const QuantizedLayer q = solve(options);
  EXPECT_THAT(q.codes, ElementsAre(0, 3, 2, 1, 3, 2, 0, 3, 2, 1, 0, 3, 2, 1, 0, 3));
  EXPECT_THAT(q.scales, Each(.5f));
  EXPECT_THAT(q.zeros, ElementsAre(2, 1, 1, 2));
}

// -- larger random layers

struct RandomLayer {
  std::int64_t rows, columns;
  std::vector<float> weight;
  Hessian hessian;
};
RandomLayer random_layer(std::int64_t rows, std::int64_t columns, const ParallelFor& loop = serial,
                         std::int64_t tokens = 600, std::int64_t dead = -1) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  RandomLayer layer{rows, columns, {}, Hessian(columns)};
  for (std::int64_t i = 0; i < rows * columns; ++i) layer.weight.push_back(normal(random));
  for (int batch = 0; batch < 2; ++batch) {
    std::vector<float> x(static_cast<std::size_t>(tokens * columns));
    for (std::int64_t t = 0; t < tokens; ++t) {
      const float shared = normal(random);
      for (std::int64_t k = 0; k < columns; ++k)
        x[static_cast<std::size_t>(t * columns + k)] =
            k == dead ? 0.0f
                      : (normal(random) + 2.0f * shared) * (1.0f + static_cast<float>(k % 7));
    }
    layer.hessian.add(x, tokens, 2, loop);
  }
  return layer;
}

std::vector<float> dense(const QuantizedLayer& q) {
  std::vector<float> values;
  for (std::int64_t r = 0; r < q.rows; ++r)
    for (std::int64_t k = 0; k < q.columns; ++k) {
      const auto group =
          static_cast<std::size_t>(r * q.groups + q.g_idx[static_cast<std::size_t>(k)]);
      const Grid grid{q.scales[group], static_cast<float>(q.zeros[group])};
      values.push_back(grid.value(q.codes[static_cast<std::size_t>(r * q.columns + k)]));
    }
  return values;
}
// The squared error of the layer's output over the calibration inputs, up to a factor.
double output_error(const RandomLayer& layer, const std::vector<float>& quantized) {
  const std::vector<float> h = layer.hessian.matrix();
  const auto n = static_cast<std::size_t>(layer.columns);
  double total = 0.0;
  for (std::size_t r = 0; r < static_cast<std::size_t>(layer.rows); ++r)
    for (std::size_t i = 0; i < n; ++i) {
      const double di = layer.weight[r * n + i] - quantized[r * n + i];
      for (std::size_t j = 0; j < n; ++j)
        total += di * h[i * n + j] * (layer.weight[r * n + j] - quantized[r * n + j]);
    }
  return total;
}
std::vector<float> round_to_nearest(const RandomLayer& layer, const SolverOptions& options) {
  std::vector<float> values;
  for (std::int64_t r = 0; r < layer.rows; ++r)
    for (std::int64_t k = 0; k < layer.columns; k += options.group_size) {
      const std::int64_t count = std::min(options.group_size, layer.columns - k);
      const float* group = layer.weight.data() + r * layer.columns + k;
      const Grid grid = find_grid({group, static_cast<std::size_t>(count)}, options.grid);
      const float largest = static_cast<float>((1 << options.grid.bits) - 1);
      for (std::int64_t i = 0; i < count; ++i)
        values.push_back(grid.value(grid.code(group[i], largest)));
    }
  return values;
}

struct Order {
  const char* name;
  bool desc_act, static_groups, act_group_aware;
};
class GptqOrders : public testing::TestWithParam<Order> {
 protected:
  SolverOptions options() const {
    SolverOptions o;
    o.group_size = 64;
    o.desc_act = GetParam().desc_act;
    o.static_groups = GetParam().static_groups;
    o.act_group_aware = GetParam().act_group_aware;
    return o;
  }
};

TEST_P(GptqOrders, BeatsRoundingToNearestWithAShortLastGroup) {
  const RandomLayer layer = random_layer(12, 300);
  for (int bits : {2, 3, 4, 8}) {
    SolverOptions o = options();
    o.grid.bits = bits;
    const QuantizedLayer q =
        quantize_layer(layer.weight, layer.rows, prepare(layer.hessian, o, serial), o, serial);
    EXPECT_EQ(q.groups, 5);
    EXPECT_LT(output_error(layer, dense(q)), 0.8 * output_error(layer, round_to_nearest(layer, o)))
        << bits << " bits";
  }
}

TEST_P(GptqOrders, GivesTheSameBitsForEveryNumberOfThreads) {
  const RandomLayer one = random_layer(21, 300);
  const SolverOptions o = options();
  const QuantizedLayer expected =
      quantize_layer(one.weight, one.rows, prepare(one.hessian, o, serial), o, serial);
  for (const ParallelFor& loop : {ParallelFor(backwards), ParallelFor(three_threads)}) {
    const RandomLayer layer = random_layer(21, 300, loop);
    ASSERT_EQ(layer.hessian.matrix(), one.hessian.matrix());
    const QuantizedLayer q =
        quantize_layer(layer.weight, layer.rows, prepare(layer.hessian, o, loop), o, loop);
    EXPECT_EQ(q.codes, expected.codes);
    EXPECT_EQ(q.scales, expected.scales);
    EXPECT_EQ(q.zeros, expected.zeros);
    EXPECT_EQ(q.loss, expected.loss);
  }
}

// What 2/n · (X₀ - X)ᵀX could be: no symmetric matrix.
std::vector<float> random_drift(std::int64_t columns) {
  std::vector<float> drift(static_cast<std::size_t>(columns * columns));
  std::mt19937 engine(9);
  std::uniform_real_distribution<float> distribution(-200.0f, 200.0f);
  for (float& value : drift) value = distribution(engine);
  return drift;
}

TEST(GptaqCorrection, IsTheUpperPartOfTheDriftThroughTheFactor) {
  const std::int64_t n = 130;
  SolverOptions o;
  o.gptaq_alpha = 0.5f;
  o.desc_act = true;
  const RandomLayer layer = random_layer(2, n);
  const std::vector<float> drift = random_drift(n);
  const PreparedHessian prepared = prepare(layer.hessian, o, serial, drift);
  const auto at = [n](const std::vector<float>& m, std::int64_t i, std::int64_t j) {
    return static_cast<double>(m[static_cast<std::size_t>(i * n + j)]);
  };
  const auto moved = [&](std::int64_t i, std::int64_t j) {
    double sum = 0;
    for (std::int64_t k = 0; k < n; ++k)
      sum += at(drift, prepared.order[static_cast<std::size_t>(i)],
                prepared.order[static_cast<std::size_t>(k)]) *
             at(prepared.upper, j, k);
    return sum;
  };
  for (std::int64_t i = 0; i < n; i += 7) {
    std::vector<double> row(static_cast<std::size_t>(n));
    for (std::int64_t j = i + 1; j < n; ++j) row[static_cast<std::size_t>(j)] = moved(i, j);
    for (std::int64_t j = 0; j < n; ++j) {
      double expected = 0, size = 0;
      for (std::int64_t k = i + 1; k <= j; ++k) {
        const double term = 0.5 * row[static_cast<std::size_t>(k)] * at(prepared.upper, k, j);
        expected += term;
        size += std::abs(term);
      }
      EXPECT_NEAR(at(prepared.correction, i, j), expected, 1e-5 * size) << i << ", " << j;
    }
  }
}

TEST(GptaqCorrection, GivesTheSameBitsForEveryNumberOfThreads) {
  SolverOptions o;
  o.gptaq_alpha = 0.25f;
  o.group_size = 64;
  const RandomLayer layer = random_layer(21, 300);
  const std::vector<float> drift = random_drift(300);
  const auto quantized = [&](const ParallelFor& loop) {
    return quantize_layer(layer.weight, layer.rows, prepare(layer.hessian, o, loop, drift), o,
                          loop);
  };
  const QuantizedLayer expected = quantized(serial);
  for (const ParallelFor& loop : {ParallelFor(backwards), ParallelFor(three_threads)}) {
    EXPECT_EQ(quantized(loop).codes, expected.codes);
    EXPECT_EQ(quantized(loop).loss, expected.loss);
  }
  o.gptaq_alpha = 0.0f;
  const std::vector<std::uint8_t> without = quantized(serial).codes;
  o.gptaq_alpha.reset();
  EXPECT_EQ(quantized(serial).codes, without) << "nothing of the drift is corrected";
  EXPECT_NE(expected.codes, without);
}

INSTANTIATE_TEST_SUITE_P(All, GptqOrders,
                         testing::Values(Order{"natural", false, false, false},
                                         Order{"desc_act", true, false, false},
                                         Order{"static", false, true, false},
                                         Order{"desc_act_static", true, true, false},
                                         Order{"group_aware", false, false, true}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(GptqSolver, KeepsNaturalGroupsWhenItIsGroupAware) {
  const RandomLayer layer = random_layer(2, 10);
  SolverOptions o;
  o.group_size = 4;
  o.act_group_aware = true;
  const PreparedHessian hessian = prepare(layer.hessian, o, serial);
  // Input k has the size 1 + k % 7: columns 6 and 5 lead their group, 3 the other; 8 and 9 are
  // the short last group and stay.
  EXPECT_THAT(hessian.order, ElementsAre(6, 5, 4, 7, 3, 2, 1, 0, 8, 9));
  const QuantizedLayer q = quantize_layer(layer.weight, 2, hessian, o, serial);
  EXPECT_THAT(q.g_idx, ElementsAre(0, 0, 0, 0, 1, 1, 1, 1, 2, 2));
}

TEST(GptqSolver, SetsColumnsWithoutInputToZero) {
  const RandomLayer layer = random_layer(3, 16, serial, 600, 5);
  SolverOptions o;
  o.group_size = 8;
  const PreparedHessian hessian = prepare(layer.hessian, o, serial);
  EXPECT_THAT(hessian.dead, ElementsAre(5));
  const QuantizedLayer q = quantize_layer(layer.weight, 3, hessian, o, serial);
  for (std::size_t r = 0; r < 3; ++r) EXPECT_EQ(dense(q)[r * 16 + 5], 0.0f);
}

TEST(GptqSolver, FitsAnyGroupSizeIntoAnyRow) {
  for (std::int64_t columns : {1, 5, 128, 129, 200})
    for (std::int64_t group : {-1, 1, 7, 96, 128, 1024}) {
      const RandomLayer layer = random_layer(3, columns);
      SolverOptions o;
      o.group_size = group;
      const QuantizedLayer q =
          quantize_layer(layer.weight, 3, prepare(layer.hessian, o, serial), o, serial);
      EXPECT_EQ(q.groups, group == -1 ? 1 : (columns + group - 1) / group);
      EXPECT_THAT(q.scales, Each(testing::Gt(0.0f))) << columns << " by " << group;
    }
}

// -- parts

TEST(GptqCholesky, InvertsWhatItFactors) {
  for (std::int64_t n : {1, 2, 63, 64, 65, 200}) {
    const RandomLayer layer = random_layer(1, n);
    std::vector<float> h = layer.hessian.matrix();
    for (std::int64_t i = 0; i < n; ++i) h[static_cast<std::size_t>(i * n + i)] += 1.0f;
    const auto upper = inverse_upper_factor(h, n, serial);
    ASSERT_TRUE(upper);
    const auto at = [n](const std::vector<float>& m, std::int64_t i, std::int64_t j) {
      return static_cast<double>(m[static_cast<std::size_t>(i * n + j)]);
    };
    double worst = 0.0;  // of U H Uᵀ = I
    for (std::int64_t i = 0; i < n; ++i) {
      std::vector<double> row(static_cast<std::size_t>(n));
      for (std::int64_t j = 0; j < n; ++j)
        for (std::int64_t p = i; p < n; ++p)
          row[static_cast<std::size_t>(j)] += at(*upper, i, p) * at(h, p, j);
      for (std::int64_t j = 0; j < n; ++j) {
        EXPECT_TRUE(j >= i || at(*upper, i, j) == 0.0);
        double value = i == j ? -1.0 : 0.0;
        for (std::int64_t p = j; p < n; ++p)
          value += row[static_cast<std::size_t>(p)] * at(*upper, j, p);
        worst = std::max(worst, std::abs(value));
      }
    }
    EXPECT_LT(worst, 2e-4) << n;
  }
}

TEST(GptqCholesky, SaysWhenAMatrixIsNotPositiveDefinite) {
  EXPECT_FALSE(inverse_upper_factor(std::vector<float>{1, 2, 2, 1}, 2, serial));
  EXPECT_FALSE(inverse_upper_factor(std::vector<float>{NAN}, 1, serial));
}

// An input overflowed: the matrix holds infinities.
Hessian indefinite_hessian() {
  Hessian hessian(2);
  hessian.add(std::vector<float>{1.0f, std::numeric_limits<float>::infinity()}, 1, 1, serial);
  return hessian;
}
TEST(GptqPrepare, RefusesAHessianThatNoDampingRepairs) {
  for (float increment : {0.0f, 0.01f}) {
    SolverOptions o;
    o.damp_increment = increment;
    try {
      prepare(indefinite_hessian(), o, serial);
      FAIL() << "nothing was refused";
    } catch (const qh::Error& error) {
      EXPECT_EQ(error.kind(), QH_ERR_RUNTIME);
      EXPECT_THAT(error.message(), HasSubstr("not positive definite"));
    }
  }
}

TEST(GptqPrepare, RaisesDampingUntilTheFactorizationSucceeds) {
  const std::int64_t n = 256;
  Hessian hessian(n);  // rank 1, and damping far below float's resolution of it
  std::vector<float> x(static_cast<std::size_t>(n));
  for (std::int64_t k = 0; k < n; ++k)
    x[static_cast<std::size_t>(k)] = 1.0f + 0.37f * static_cast<float>(k % 5);
  hessian.add(x, 1, 1, serial);
  SolverOptions o;
  o.damp_percent = 1e-9f;
  EXPECT_THROW(prepare(hessian, o, serial), qh::Error);
  o.damp_increment = 0.01f;
  EXPECT_FLOAT_EQ(prepare(hessian, o, serial).damp_percent, 0.01f);
}

TEST(GptqHessian, DoesNotDependOnHowSamplesWereBatched) {
  std::vector<float> x(6 * 4);
  std::iota(x.begin(), x.end(), -9.0f);
  Hessian whole(4), parts(4);
  whole.add(x, 6, 3, serial);
  for (std::size_t i = 0; i < 3; ++i) parts.add(std::span(x).subspan(i * 8, 8), 2, 1, serial);
  const std::vector<float> expected = whole.matrix(), found = parts.matrix();
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(found[i], expected[i], 1e-5f * std::abs(expected[i]) + 1e-5f);
}

TEST(GptqGrid, HoldsZeroAndKeepsUpstreamsCornerCases) {
  const std::vector<float> positive = {1, 2, 3}, zeros = {0, 0};
  const Grid sym = find_grid(positive, {4, true, 0});
  EXPECT_EQ(sym.scale, 0.2f);  // half the range of a row with a negative value
  EXPECT_EQ(sym.zero, 8.0f);
  EXPECT_EQ(find_grid(zeros, {4, false, 0}).scale, 2.0f / 15.0f);
  EXPECT_EQ(find_grid(positive, {4, false, 0}).zero, 0.0f);
  EXPECT_GT(find_grid(std::vector<float>{1e-45f, 0}, {8, false, 0}).scale, 0.0f);
}

TEST(GptqSolver, RefusesOptionsAndWeightsThatDoNotFit) {
  const auto refusal = [](auto&& change, std::vector<float> weight) -> std::string {
    SolverOptions o = asymmetric();
    change(o);
    try {
      quantize_layer(weight, kRows, prepare(small_hessian(), o, serial), o, serial);
    } catch (const qh::Error& error) {
      return error.message();
    }
    return "nothing was refused";
  };
  const std::vector<float> weight = small_weight();
  EXPECT_THAT(refusal([](auto& o) { o.grid.bits = 5; }, weight), HasSubstr("bits is 5"));
  EXPECT_THAT(refusal([](auto& o) { o.group_size = 0; }, weight), HasSubstr("group_size is 0"));
  EXPECT_THAT(refusal([](auto& o) { o.damp_percent = 1; }, weight), HasSubstr("damp_percent"));
  EXPECT_THAT(refusal([](auto& o) { o.desc_act = o.act_group_aware = true; }, weight),
              HasSubstr("exclude each other"));
  EXPECT_THAT(refusal([](auto&) {}, {1, 2}), HasSubstr("the weight has 2 elements"));
  std::vector<float> broken = weight;
  broken[9] = NAN;
  EXPECT_THAT(refusal([](auto&) {}, broken), HasSubstr("not finite in row 1"));
}

}  // namespace
}  // namespace quanthost::gptq

// The kernels of every instruction set against the same vectors, computed here in double precision.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "host/model/cpu/kernels.hpp"

namespace quanthost::model::cpu {
namespace {

struct Case {
  const char* isa;
  Element element;
};

// One tensor of random values as the kernels get it, and the same values in double precision.
struct Values {
  at::Tensor stored;
  std::vector<double> exact;
  void* data() { return stored.mutable_data_ptr(); }
  double operator[](std::int64_t index) const { return exact[static_cast<std::size_t>(index)]; }
};

class CpuKernels : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    kernels_ = kernels_named(GetParam().isa);
    if (!kernels_) GTEST_SKIP() << "this CPU cannot run " << GetParam().isa;
  }

  at::ScalarType type() const {
    switch (GetParam().element) {
      case Element::kBf16:
        return at::kBFloat16;
      case Element::kF16:
        return at::kHalf;
      default:
        return at::kFloat;
    }
  }
  // Half a unit in the last place of a value near 1, and what summing in float32 adds.
  double tolerance() const {
    switch (GetParam().element) {
      case Element::kBf16:
        return std::ldexp(1.0, -8);
      case Element::kF16:
        return std::ldexp(1.0, -11);
      default:
        return 0.0;
    }
  }

  Values empty(std::int64_t count) { return read(at::empty({count}, type())); }
  Values random(std::int64_t count, double scale = 1.0) {
    std::normal_distribution<float> normal(0.0f, static_cast<float>(scale));
    at::Tensor values = at::empty({count}, at::kFloat);
    for (std::int64_t i = 0; i < count; ++i) values.mutable_data_ptr<float>()[i] = normal(random_);
    return read(values.to(type()));
  }
  static Values read(const at::Tensor& stored) {
    const at::Tensor wide = stored.to(at::kDouble).contiguous();
    return {stored, {wide.const_data_ptr<double>(), wide.const_data_ptr<double>() + wide.numel()}};
  }
  double rounded(double value) const {
    return at::full({1}, value, at::kDouble).to(type()).to(at::kDouble).item<double>();
  }

  // Each product and the sum are rounded, as transformers computes tensor by tensor.
  std::vector<double> rotated(const std::vector<double>& head, const std::vector<double>& cos,
                              const std::vector<double>& sin) const {
    std::vector<double> out = head;
    const std::size_t half = cos.size() / 2;
    for (std::size_t k = 0; k < half; ++k) {
      out[k] = rounded(head[k] * cos[k]) - rounded(head[half + k] * sin[k]);
      out[half + k] = rounded(head[half + k] * cos[half + k]) + rounded(head[k] * sin[half + k]);
    }
    return out;
  }

  // `roundings`: how often the kernel rounds to the element type on the way.
  void expect_near(const Values& stored, const std::vector<double>& expected, double roundings) {
    const Values actual = read(stored.stored);
    double largest = 0.0;
    for (double value : expected) largest = std::max(largest, std::abs(value));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double allowed = roundings * tolerance() * std::abs(expected[i]) +
                             (3e-6 + roundings * tolerance() * tolerance()) * largest;
      ASSERT_NEAR(actual.exact[i], expected[i], allowed) << "at " << i << " of " << expected.size();
    }
  }

  const Kernels* kernels_ = nullptr;
  std::mt19937 random_{3};
};

TEST_P(CpuKernels, ConvertEveryValueOfASmallTypeExactly) {
  if (GetParam().element == Element::kF32) GTEST_SKIP() << "nothing to convert";
  const at::Tensor all = at::arange(65536, at::kInt).to(at::kShort).view(type());
  std::vector<float> converted(65536);
  kernels_->to_float(GetParam().element, all.const_data_ptr(), converted.data(), 65536);
  const at::Tensor expected = all.to(at::kFloat);
  for (std::size_t i = 0; i < converted.size(); ++i) {
    const float wanted = expected.const_data_ptr<float>()[i];
    if (std::isnan(wanted)) {
      ASSERT_TRUE(std::isnan(converted[i])) << i;
    } else {
      ASSERT_EQ(converted[i], wanted) << i;
      ASSERT_EQ(std::signbit(converted[i]), std::signbit(wanted)) << i;
    }
  }
}

// Sums of two values that are not representable: to nearest, ties to even, over the whole range.
TEST_P(CpuKernels, RoundSumsAsLibTorchDoes) {
  const std::int64_t width = 4096;
  Values x = random(width), delta = random(width), weight = read(at::ones({width}, type()));
  for (std::int64_t i = 0; i < width; ++i) {
    const double scale = std::ldexp(1.0, static_cast<int>(i % 29) - 24);
    x.stored[i] = x[i] * scale;
    delta.stored[i] = delta[i] * scale * std::ldexp(1.0, -static_cast<int>(i % 11));
  }
  Values sum = empty(width), normed = empty(width);
  const Norm norm{GetParam().element, x.data(), delta.data(), weight.data(), sum.data(),
                  normed.data(),      width,    1e-5f,        false,         nullptr};
  kernels_->norm(norm, 0, 1);
  EXPECT_TRUE(at::equal(sum.stored, x.stored + delta.stored));
}

TEST_P(CpuKernels, MultiplyAnyNumberOfRowsAndFeatures) {
  for (const std::int64_t in : {1, 31, 32, 100, 1024, 1500}) {
    for (std::int64_t rows = 1; rows <= kMaxRows; ++rows) {
      const std::int64_t features = 1 + (in + 3 * rows) % 11;
      Values x = random(rows * in), weight = random(features * in), bias = random(features);
      Values out = empty(rows * features);
      const at::Tensor wide = x.stored.to(at::kFloat);
      const bool biased = rows % 2 == 1;
      const Product product{GetParam().element,
                            GetParam().element,
                            x.data(),
                            wide.const_data_ptr<float>(),
                            weight.data(),
                            biased ? bias.data() : nullptr,
                            out.data(),
                            rows,
                            in,
                            features};
      const std::int64_t middle = features / 2;  // two threads' shares
      kernels_->product(product, 0, middle);
      kernels_->product(product, middle, features);
      std::vector<double> expected;
      for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t n = 0; n < features; ++n) {
          double sum = biased ? bias[n] : 0.0;
          for (std::int64_t k = 0; k < in; ++k) sum += x[row * in + k] * weight[n * in + k];
          expected.push_back(sum);
        }
      }
      SCOPED_TRACE(testing::Message() << in << " inputs, " << rows << " rows");
      expect_near(out, expected, 1);
    }
  }
}

// A float32 model may keep the weights that its checkpoint has in a smaller type.
TEST_P(CpuKernels, GiveTheBitsOfFloat32WeightsWhenTheyWidenSmallOnes) {
  for (const std::int64_t in : {1, 15, 64, 100, 576, 1500}) {
    for (std::int64_t rows = 1; rows <= kMaxRows; ++rows) {
      const std::int64_t features = 7;
      Values weight = random(features * in), other = random(features * in);
      const at::Tensor x = at::randn({rows * in}), bias = at::randn({features});
      std::vector<at::Tensor> results;
      for (const bool small : {true, false}) {
        const at::Tensor first = small ? weight.stored : weight.stored.to(at::kFloat);
        const at::Tensor second = small ? other.stored : other.stored.to(at::kFloat);
        const Element stored = small ? GetParam().element : Element::kF32;
        at::Tensor out = at::empty({2, rows * features});
        Product product{Element::kF32,
                        stored,
                        x.const_data_ptr(),
                        x.const_data_ptr<float>(),
                        first.const_data_ptr(),
                        bias.const_data_ptr(),
                        out.mutable_data_ptr(),
                        rows,
                        in,
                        features};
        kernels_->product(product, 0, features);
        product.out = out[1].mutable_data_ptr();
        kernels_->gated_product({product, second.const_data_ptr()}, 0, features);
        results.push_back(out);
      }
      EXPECT_TRUE(at::equal(results[0], results[1])) << in << " inputs, " << rows << " rows";
    }
  }
}

TEST_P(CpuKernels, GateWithSilu) {
  for (const std::int64_t rows : {1, 2, 5, 8}) {
    const std::int64_t in = 77, features = 13;
    Values x = random(rows * in), gate = random(features * in, 0.3),
           up = random(features * in, 0.3);
    Values out = empty(rows * features);
    const at::Tensor wide = x.stored.to(at::kFloat);
    const GatedProduct product{
        {GetParam().element, GetParam().element, x.data(), wide.const_data_ptr<float>(),
         gate.data(), nullptr, out.data(), rows, in, features},
        up.data()};
    kernels_->gated_product(product, 0, 6);
    kernels_->gated_product(product, 6, features);
    std::vector<double> expected;
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t n = 0; n < features; ++n) {
        double g = 0.0, u = 0.0;
        for (std::int64_t k = 0; k < in; ++k) {
          g += x[row * in + k] * gate[n * in + k];
          u += x[row * in + k] * up[n * in + k];
        }
        expected.push_back(g / (1.0 + std::exp(-g)) * u);
      }
    }
    expect_near(out, expected, 5);  // gate, its silu, up and the product; silu amplifies the first
  }
}

TEST_P(CpuKernels, NormRowsWithAndWithoutASum) {
  const std::int64_t rows = 3;
  for (const std::int64_t width : {8, 33, 576}) {
    for (const bool one_plus : {false, true}) {
      Values x = random(rows * width), delta = random(rows * width), weight = random(width);
      Values sum = empty(rows * width), normed = empty(rows * width);
      for (const bool added : {false, true}) {
        const Norm norm{GetParam().element,
                        x.data(),
                        added ? delta.data() : nullptr,
                        weight.data(),
                        sum.data(),
                        normed.data(),
                        width,
                        1e-5f,
                        one_plus,
                        nullptr};
        kernels_->norm(norm, 0, 1);
        kernels_->norm(norm, 1, rows);
        std::vector<double> expected;
        for (std::int64_t row = 0; row < rows; ++row) {
          std::vector<double> values;
          double squares = 0.0;
          for (std::int64_t k = 0; k < width; ++k) {
            const std::int64_t at = row * width + k;
            values.push_back(added ? rounded(x[at] + delta[at]) : x[at]);
            squares += values.back() * values.back();
          }
          const double scale = 1.0 / std::sqrt(squares / static_cast<double>(width) + 1e-5);
          for (std::int64_t k = 0; k < width; ++k)
            expected.push_back(values[static_cast<std::size_t>(k)] * scale *
                               (weight[k] + (one_plus ? 1.0 : 0.0)));
        }
        expect_near(normed, expected, 2);
      }
    }
  }
}

struct StepCase {
  std::int64_t heads, kv_heads, head_dim, rotary;  // rotary 0: none
  bool own_angles;                                 // each row of the batch has its own
  std::int64_t window;
  float softcap;
  std::int64_t past;
};

// What one step makes of a batch of two, the second row padded: rotates, stores, attends.
class StepReference {
 public:
  StepReference(const StepCase& c, std::int64_t past) : c_(c), past_(past) {}

  // `query` and the keys are rotated already; keys and values hold past + 1 tokens of one head.
  std::vector<double> attended(const std::vector<double>& query, const std::vector<double>& keys,
                               const std::vector<double>& values, std::int64_t first) const {
    const std::int64_t dim = c_.head_dim;
    if (c_.window > 0) first = std::max(first, past_ + 1 - c_.window);
    std::vector<double> out(static_cast<std::size_t>(dim), 0.0);
    double total = 0.0;
    for (std::int64_t t = first; t <= past_; ++t) {
      double score = 0.0;
      for (std::int64_t k = 0; k < dim; ++k)
        score += query[std::size_t(k)] * keys[std::size_t(t * dim + k)];
      score *= kScale;
      if (c_.softcap > 0) score = c_.softcap * std::tanh(score / c_.softcap);
      const double weight = std::exp(score);
      total += weight;
      for (std::int64_t k = 0; k < dim; ++k)
        out[std::size_t(k)] += weight * values[std::size_t(t * dim + k)];
    }
    for (double& value : out) value /= total;
    return out;
  }

  static constexpr double kScale = 0.3;

 private:
  StepCase c_;
  std::int64_t past_;
};

TEST_P(CpuKernels, RotateStoreAndAttend) {
  const std::int64_t batch = 2;
  const std::vector<std::int64_t> first_token{0, 4};
  for (const StepCase& c :
       {StepCase{4, 2, 16, 16, false, 0, 0, 13}, StepCase{3, 3, 12, 4, true, 5, 0, 13},
        StepCase{6, 1, 33, 0, false, 0, 2.5f, 13}, StepCase{2, 1, 64, 64, true, 0, 0, 13},
        StepCase{9, 3, 64, 64, false, 0, 0, 36}, StepCase{7, 1, 80, 0, false, 20, 1.5f, 47}}) {
    SCOPED_TRACE(testing::Message() << c.heads << " heads of " << c.head_dim);
    const std::int64_t past = c.past, capacity = past + 8;
    const StepReference reference(c, past);
    Values query = random(batch * c.heads * c.head_dim),
           key = random(batch * c.kv_heads * c.head_dim);
    Values value = random(batch * c.kv_heads * c.head_dim);
    Values cos = random((c.own_angles ? batch : 1) * std::max<std::int64_t>(c.rotary, 1));
    Values sin = random(cos.stored.numel());
    Values keys = random(batch * c.kv_heads * capacity * c.head_dim);
    Values values = random(keys.stored.numel());
    Values out = empty(query.stored.numel());
    const Values query_before = read(query.stored.clone());
    const AttentionStep step{.element = GetParam().element,
                             .query = query.data(),
                             .key = key.data(),
                             .value = value.data(),
                             .cos = c.rotary ? cos.data() : nullptr,
                             .sin = c.rotary ? sin.data() : nullptr,
                             .keys = keys.data(),
                             .values = values.data(),
                             .out = out.data(),
                             .first_token = first_token.data(),
                             .heads = c.heads,
                             .kv_heads = c.kv_heads,
                             .head_dim = c.head_dim,
                             .rotary_dim = c.rotary,
                             .angle_stride = c.own_angles ? c.rotary : 0,
                             .capacity = capacity,
                             .past = past,
                             .window = c.window,
                             .scale = static_cast<float>(StepReference::kScale),
                             .softcap = c.softcap};
    kernels_->store_token(step, 0, batch);
    std::vector<float> scratch(static_cast<std::size_t>(attend_scratch(c.head_dim, past)));
    kernels_->attend(step, scratch.data(), 0, 1);
    kernels_->attend(step, scratch.data(), 1, batch * c.heads);

    const auto slice = [](const Values& from, std::int64_t at, std::int64_t count) {
      return std::vector<double>(from.exact.begin() + at, from.exact.begin() + at + count);
    };
    std::vector<double> expected_out, expected_query;
    const Values query_after = read(query.stored), keys_after = read(keys.stored),
                 values_after = read(values.stored);
    for (std::int64_t row = 0; row < batch; ++row) {
      const std::int64_t angles = c.own_angles ? row * c.rotary : 0;
      const auto cosines = slice(cos, angles, c.rotary), sines = slice(sin, angles, c.rotary);
      for (std::int64_t head = 0; head < c.heads; ++head) {
        const std::int64_t at = (row * c.heads + head) * c.head_dim;
        const auto turned = rotated(slice(query_before, at, c.head_dim), cosines, sines);
        expected_query.insert(expected_query.end(), turned.begin(), turned.end());
        const std::int64_t kv =
            (row * c.kv_heads + head / (c.heads / c.kv_heads)) * capacity * c.head_dim;
        // From what was stored, so that only this kernel's own rounding counts.
        const auto mixed = reference.attended(slice(query_after, at, c.head_dim),
                                              slice(keys_after, kv, (past + 1) * c.head_dim),
                                              slice(values_after, kv, (past + 1) * c.head_dim),
                                              first_token[static_cast<std::size_t>(row)]);
        expected_out.insert(expected_out.end(), mixed.begin(), mixed.end());
      }
      for (std::int64_t head = 0; head < c.kv_heads; ++head) {
        const std::int64_t from = (row * c.kv_heads + head) * c.head_dim;
        const std::int64_t to = ((row * c.kv_heads + head) * capacity + past) * c.head_dim;
        EXPECT_EQ(slice(values_after, to, c.head_dim), slice(value, from, c.head_dim));
        expect_near(read(keys.stored.narrow(0, to, c.head_dim)),
                    rotated(slice(key, from, c.head_dim), cosines, sines), 1);
        // Nothing but the new token's place was written.
        EXPECT_EQ(slice(keys_after, to - c.head_dim, c.head_dim),
                  slice(keys, to - c.head_dim, c.head_dim));
        EXPECT_EQ(slice(keys_after, to + c.head_dim, c.head_dim),
                  slice(keys, to + c.head_dim, c.head_dim));
      }
    }
    expect_near(query, expected_query, 1);
    expect_near(out, expected_out, 3);
  }
}

TEST_P(CpuKernels, RotateRowsWithTheAnglesOfTheirPlaceOrTheirOwn) {
  const std::int64_t batch = 2, tokens = 5, heads = 3, dim = 20, rotary = 12;
  for (const std::int64_t angle_rows : {tokens, batch * tokens}) {
    Values from = random(batch * tokens * heads * dim), to = empty(from.stored.numel());
    Values cos = random(angle_rows * rotary), sin = random(angle_rows * rotary);
    const Rotation rotation{GetParam().element, from.data(), to.data(), cos.data(),
                            sin.data(),         heads,       dim,       rotary,
                            angle_rows};
    kernels_->rotate(rotation, 0, 3);
    kernels_->rotate(rotation, 3, batch * tokens);
    std::vector<double> expected;
    for (std::int64_t head = 0; head < batch * tokens * heads; ++head) {
      const std::int64_t angle = head / heads % angle_rows * rotary;
      const auto turned =
          rotated({from.exact.begin() + head * dim, from.exact.begin() + (head + 1) * dim},
                  {cos.exact.begin() + angle, cos.exact.begin() + angle + rotary},
                  {sin.exact.begin() + angle, sin.exact.begin() + angle + rotary});
      expected.insert(expected.end(), turned.begin(), turned.end());
    }
    expect_near(to, expected, 1);
  }
}

TEST_P(CpuKernels, SquareForASumThatLibTorchTakes) {
  const std::int64_t rows = 3, width = 37;
  Values x = random(rows * width), delta = random(rows * width), sum = empty(rows * width);
  std::vector<float> squares(static_cast<std::size_t>(rows * width));
  const Norm norm{.element = GetParam().element,
                  .x = x.data(),
                  .delta = delta.data(),
                  .weight = nullptr,
                  .sum = sum.data(),
                  .normed = nullptr,
                  .width = width,
                  .eps = 0.0f,
                  .one_plus_weight = false,
                  .scale = nullptr};
  kernels_->squares(norm, squares.data(), 1, rows);
  kernels_->squares(norm, squares.data(), 0, 1);
  const at::Tensor expected = x.stored + delta.stored;
  EXPECT_TRUE(at::equal(sum.stored, expected));
  const at::Tensor actual = at::from_blob(squares.data(), {rows * width}, at::kFloat);
  EXPECT_TRUE(at::equal(actual, expected.to(at::kFloat).pow(2)));
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* isa : {"scalar", "avx2", "avx512", "avx512_bf16"}) {
    for (Element element : {Element::kF32, Element::kBf16, Element::kF16})
      all.push_back({isa, element});
  }
  return all;
}

std::string readable(const testing::TestParamInfo<Case>& info) {
  constexpr const char* kNames[] = {"float32", "bfloat16", "float16"};
  return std::string(info.param.isa) + "_" + kNames[static_cast<int>(info.param.element)];
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, CpuKernels, testing::ValuesIn(cases()), readable);

TEST(CpuKernelsByName, AreNoneForAnUnknownName) {
  EXPECT_EQ(kernels_named("mmx"), nullptr);
  ASSERT_NE(kernels_named("scalar"), nullptr);
  EXPECT_STREQ(kernels_named("scalar")->name, "scalar");
}

}  // namespace
}  // namespace quanthost::model::cpu

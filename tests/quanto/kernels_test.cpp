// Every instruction set's range functions against the scalar ones.
#include "cpu/kernels.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <quanthost/cpu/formats.hpp>
#include <random>
#include <string>
#include <vector>

namespace quanthost::quanto {
namespace {

constexpr QType kTypes[] = {
    QType::int2,       QType::int4, QType::int8, QType::float8_e4m3fn, QType::float8_e4m3fnuz,
    QType::float8_e5m2};
constexpr Dtype kDtypes[] = {Dtype::f32, Dtype::f16, Dtype::bf16};

std::vector<std::uint8_t> as_type(const std::vector<float>& values, Dtype dtype) {
  std::vector<std::uint8_t> out(values.size() * static_cast<std::size_t>(element_bytes(dtype)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (dtype == Dtype::f32) std::memcpy(&out[i * 4], &values[i], 4);
    const auto half = dtype == Dtype::f16 ? cpu::from_float<cpu::Float16>(values[i]).bits
                                          : cpu::from_float<cpu::BFloat16>(values[i]).bits;
    if (dtype != Dtype::f32) std::memcpy(&out[i * 2], &half, 2);
  }
  return out;
}

std::vector<float> as_floats(const std::vector<std::uint8_t>& raw, Dtype dtype) {
  std::vector<float> out(raw.size() / static_cast<std::size_t>(element_bytes(dtype)));
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint16_t half = 0;
    if (dtype == Dtype::f32) std::memcpy(&out[i], &raw[i * 4], 4);
    if (dtype != Dtype::f32) std::memcpy(&half, &raw[i * 2], 2);
    if (dtype == Dtype::f16) out[i] = cpu::to_float(cpu::Float16{half});
    if (dtype == Dtype::bf16) out[i] = cpu::to_float(cpu::BFloat16{half});
  }
  return out;
}

std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (float& v : out) v = normal(engine);
  return out;
}

// One quantized matrix with memory of its own.
struct Sample {
  std::int64_t rows, columns;
  std::vector<std::uint8_t> base, data, scale, shift;
  Matrix matrix;

  Sample(QType qtype, Dtype dtype, std::int64_t r, std::int64_t c, const std::vector<float>& values,
         bool integer_shift = false)
      : rows(r), columns(c), base(as_type(values, dtype)) {
    matrix = {qtype, dtype,         r,       c,       is_affine(qtype),
              false, integer_shift, nullptr, nullptr, nullptr};
    data.assign(static_cast<std::size_t>(matrix.packed_rows() * c), 0xee);
    scale.assign(static_cast<std::size_t>(r * element_bytes(dtype)), 0xee);
    shift = scale;
    matrix.data = data.data();
    matrix.scale = scale.data();
    matrix.shift = shift.data();
  }
  void quantize(const Kernels& k) {
    k.quantize({matrix, base.data(), false}, 0, matrix.packed_rows());
  }
  std::vector<std::uint8_t> dequantize(const Kernels& k) const {
    std::vector<std::uint8_t> out(
        static_cast<std::size_t>(rows * columns * element_bytes(matrix.dtype)));
    k.dequantize({matrix, out.data()}, 0, matrix.packed_rows());
    return out;
  }
};

class EveryIsa : public testing::TestWithParam<cpu::Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > cpu::best_isa())
      GTEST_SKIP() << "this CPU has no " << cpu::name_of(GetParam());
  }
  const Kernels& kernels() const { return kernels_for(GetParam()); }
};

TEST_P(EveryIsa, QuantizesAndDequantizesToTheScalarBytes) {
  for (QType qtype : kTypes)
    for (Dtype dtype : kDtypes)
      for (auto [rows, columns] : {std::pair{7, 33}, {16, 128}, {5, 1}, {3, 257}}) {
        const auto values = random_values(static_cast<std::size_t>(rows * columns), 7);
        Sample expected(qtype, dtype, rows, columns, values), found = expected;
        found.matrix.data = found.data.data();
        found.matrix.scale = found.scale.data();
        found.matrix.shift = found.shift.data();
        expected.quantize(scalar_kernels());
        found.quantize(kernels());
        EXPECT_EQ(found.data, expected.data) << rows << "x" << columns;
        EXPECT_EQ(found.scale, expected.scale);
        EXPECT_EQ(found.shift, expected.shift);
        EXPECT_EQ(found.dequantize(kernels()), expected.dequantize(scalar_kernels()));
      }
}

// Every scale of eight bits, with quotients that lie half way between two codes and beside it, and
// rows of huge, tiny and not finite numbers between.
TEST_P(EveryIsa, RoundsQuotientsHalfWayBetweenCodesAsADivisionDoes) {
  constexpr std::int64_t kRows = 128 * 4, kColumns = 64;
  for (QType qtype : {QType::int4, QType::int2}) {
    const int most = (1 << bit_width(qtype)) - 1;
    std::vector<float> values(kRows * kColumns);
    for (std::int64_t r = 0; r < kRows; ++r) {
      const auto scale = static_cast<float>(128 + r / 4);
      const float size = r % 4 == 1 ? 0x1p-125f : r % 4 == 2 ? 0x1p110f : 1.0f;
      float* row = values.data() + r * kColumns;
      for (int c = 0; c < kColumns; ++c)
        row[c] = size * (scale * static_cast<float>((c * 7 + r) % (16 * most + 1)) / 16 - scale);
      row[0] = -scale * size;
      row[1] = scale * size * static_cast<float>(most - 1);
      if (r % 4 == 3) row[r % kColumns] = r % 8 == 3 ? NAN : -INFINITY;
    }
    Sample expected(qtype, Dtype::bf16, kRows, kColumns, values),
        found(qtype, Dtype::bf16, kRows, kColumns, values);
    expected.quantize(scalar_kernels());
    found.quantize(kernels());
    EXPECT_EQ(found.data, expected.data);
    EXPECT_EQ(found.scale, expected.scale);
    EXPECT_EQ(found.shift, expected.shift);
  }
}

// Every mantissa of a value by every mantissa of a scale, from the largest code to below the
// smallest; rows of huge, tiny, zero and not finite numbers between.
TEST_P(EveryIsa, QuantizesToEightBitsAsADivisionDoes) {
  constexpr std::int64_t kRows = 256, kExponents = 24, kColumns = 128 * kExponents;
  std::vector<float> values(kRows * kColumns, 0.0f);
  for (std::int64_t r = 0; r < kRows; ++r) {
    const float size = r % 8 == 1 ? 0x1p-110f : r % 8 == 2 ? 0x1p100f : 1.0f;
    float* row = values.data() + r * kColumns;
    const float top = static_cast<float>(128 + r / 2) * size;
    for (std::int64_t c = 0; c < kColumns && r % 32 != 31; ++c) {
      const float v = std::ldexp(static_cast<float>(128 + c % 128), -static_cast<int>(c / 128));
      row[c] = std::min(v * size, top) * (c % 3 == 0 ? -1.0f : 1.0f);
    }
    row[kColumns - 1] = -0.0f;
    row[kColumns / 2] = r % 2 == 0 ? top : -top;
    if (r % 16 == 7) row[3] = r % 32 == 7 ? NAN : -INFINITY;
  }
  for (QType qtype :
       {QType::int8, QType::float8_e4m3fn, QType::float8_e4m3fnuz, QType::float8_e5m2}) {
    Sample expected(qtype, Dtype::bf16, kRows, kColumns, values),
        found(qtype, Dtype::bf16, kRows, kColumns, values);
    expected.quantize(scalar_kernels());
    found.quantize(kernels());
    EXPECT_TRUE(found.data == expected.data) << static_cast<int>(qtype);
    EXPECT_EQ(found.scale, expected.scale);
  }
}

TEST_P(EveryIsa, StoresZeroRowsAndNotANumberAsUpstreamDoes) {
  std::vector<float> values(3 * 40, 0.0f);
  values[40] = std::numeric_limits<float>::quiet_NaN();
  values[80] = std::numeric_limits<float>::infinity();
  Sample ints(QType::int8, Dtype::f32, 3, 40, values),
      nibbles(QType::int4, Dtype::f32, 3, 40, values);
  ints.quantize(kernels());
  nibbles.quantize(kernels());
  EXPECT_EQ(ints.data, std::vector<std::uint8_t>(120, 0));
  EXPECT_EQ(nibbles.data, std::vector<std::uint8_t>(80, 0));
  Sample floats(QType::float8_e4m3fn, Dtype::f32, 3, 40, values);
  floats.quantize(kernels());
  EXPECT_EQ(floats.data[0] & 0x7f, 0x7f) << "0 / 0 is NaN";
}

TEST_P(EveryIsa, DecodesEveryFloat8CodeAsScalar) {
  for (QType qtype : {QType::float8_e4m3fn, QType::float8_e4m3fnuz, QType::float8_e5m2}) {
    Sample s(qtype, Dtype::f32, 1, 256, std::vector<float>(256, 1.0f));
    for (int i = 0; i < 256; ++i)
      s.data[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(i);
    const float one = 1.0f;
    std::memcpy(s.scale.data(), &one, 4);
    const auto found = as_floats(s.dequantize(kernels()), Dtype::f32);
    const auto expected = as_floats(s.dequantize(scalar_kernels()), Dtype::f32);
    for (std::size_t i = 0; i < 256; ++i)
      EXPECT_TRUE(found[i] == expected[i] || (std::isnan(found[i]) && std::isnan(expected[i])))
          << i;
  }
}

// y = x Wᵀ + bias in double precision from the dequantized weight.
std::vector<double> reference(const std::vector<float>& x, const std::vector<float>& w,
                              const std::vector<float>& bias, std::int64_t tokens,
                              std::int64_t outputs, std::int64_t inputs) {
  std::vector<double> y;
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t o = 0; o < outputs; ++o) {
      double sum = bias[static_cast<std::size_t>(o)];
      for (std::int64_t k = 0; k < inputs; ++k)
        sum += static_cast<double>(x[static_cast<std::size_t>(t * inputs + k)]) *
               w[static_cast<std::size_t>(o * inputs + k)];
      y.push_back(sum);
    }
  return y;
}

std::vector<float> run(const LinearPath& path, LinearArgs a, std::size_t results) {
  std::vector<std::uint8_t> y(results * static_cast<std::size_t>(element_bytes(a.x_dtype)));
  std::vector<float> staged(static_cast<std::size_t>(path.staged_bytes(a)) / 4 + 32);
  std::vector<float> scratch(static_cast<std::size_t>(path.scratch_bytes(a)) / 4 + 32);
  const auto aligned = [](std::vector<float>& v) {
    return reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(v.data()) + 63) &
                                   ~std::uintptr_t{63});
  };
  a.y = y.data();
  a.staged = aligned(staged);
  path.stage(a, 0, path.stage_items(a));
  path.run(a, 0, path.run_items(a), aligned(scratch));
  return as_floats(y, a.x_dtype);
}

struct Shape {
  std::int64_t outputs, inputs, group, tokens;
};
// Groups, no groups, outputs that do not fill a byte, odd sizes, and every path's token count.
constexpr Shape kShapes[] = {{64, 256, 128, 1},    {64, 256, 128, 3},  {48, 192, 96, 5},
                             {40, 160, 32, 33},    {16, 64, 64, 17},   {13, 40, 40, 2},
                             {13, 40, 40, 20},     {7, 96, 32, 9},     {33, 77, 77, 6},
                             {132, 1152, 128, 70}, {20, 2080, 32, 18}, {2, 3, 3, 1}};

void expect_product(const Kernels& kernels, const Shape& s, QType qtype, Dtype dtype) {
  const std::int64_t group = is_affine(qtype) ? s.group : s.inputs;
  const auto count = static_cast<std::size_t>(s.outputs * s.inputs);
  Sample w(qtype, dtype, s.outputs * (s.inputs / group), group, random_values(count, 3));
  w.quantize(scalar_kernels());
  const auto x_raw =
      as_type(random_values(static_cast<std::size_t>(s.tokens * s.inputs), 5), dtype);
  const auto bias_raw = as_type(random_values(static_cast<std::size_t>(s.outputs), 9), dtype);
  const auto dense = as_floats(w.dequantize(scalar_kernels()), dtype);
  const auto x = as_floats(x_raw, dtype), bias = as_floats(bias_raw, dtype);
  LinearArgs a{w.matrix,     s.outputs,       s.inputs, s.inputs / group, dtype,  s.tokens,
               x_raw.data(), bias_raw.data(), nullptr,  nullptr,          nullptr};
  const LinearPath& path = kernels.linear(a);
  const auto y = run(path, a, static_cast<std::size_t>(s.tokens * s.outputs));
  const auto expected = reference(x, dense, bias, s.tokens, s.outputs, s.inputs);
  // Each of the two roundings of y is worth half a step of D. Weights that stay codes skip
  // the rounding that dequantization has, again half a step for each product. Sums are
  // float32's.
  const double step = dtype == Dtype::f32 ? 0x1p-23 : dtype == Dtype::f16 ? 0x1p-10 : 0x1p-7;
  const double products = step * 2.0 * std::sqrt(static_cast<double>(s.inputs)) +
                          0x1p-22 * static_cast<double>(s.inputs);
  double worst = 0.0;  // as a part of the bound
  for (std::size_t i = 0; i < y.size(); ++i)
    worst = std::max(
        worst, std::fabs(y[i] - expected[i]) / (products + step * (std::fabs(expected[i]) + 2.0)));
  EXPECT_LE(worst, 1.0) << path.name << " " << s.outputs << "x" << s.inputs << "/" << s.group
                        << " tokens " << s.tokens << " qtype " << static_cast<int>(qtype)
                        << " dtype " << static_cast<int>(dtype);
}

TEST_P(EveryIsa, MultipliesWithinTheBoundOfItsTypes) {
  for (const Shape& s : kShapes)
    for (QType qtype : kTypes)
      for (Dtype dtype : kDtypes) expect_product(kernels(), s, qtype, dtype);
}

// Tiles of eight tokens and what is left of them; panels of 48 outputs and, of many inputs, 24.
TEST_P(EveryIsa, MultipliesEveryNumberOfTokensInBfloat16) {
  for (QType qtype : kTypes) {
    for (std::int64_t tokens = 1; tokens <= 20; ++tokens)
      expect_product(kernels(), {101, 160, 32, tokens}, qtype, Dtype::bf16);
    expect_product(kernels(), {52, 96, 48, 128}, qtype, Dtype::bf16);
    expect_product(kernels(), {26, 5568, 64, 9}, qtype, Dtype::bf16);
    // Outputs that share bytes with others: groups of 1, 3, 4 and 17 parts of 64 columns, in blocks
    // of at least a group, and strips of eight streams, the last of one or two.
    for (std::int64_t group : {64, 192, 256, 1088})
      for (std::int64_t tokens : {5, 9, 15})
        expect_product(kernels(), {36, group < 1088 ? 1536 : 2176, group, tokens}, qtype,
                       Dtype::bf16);
  }
}

// Products lose nothing of a weight: an identity matrix gives back what it dequantizes to.
TEST_P(EveryIsa, GivesBackTheWeightsForAnIdentity) {
  constexpr std::int64_t kOutputs = 52, kInputs = 128;
  std::vector<float> identity(kInputs * kInputs, 0.0f);
  for (std::size_t i = 0; i < kInputs; ++i) identity[i * (kInputs + 1)] = 1.0f;
  const auto x = as_type(identity, Dtype::bf16);
  const auto expect = [&](QType qtype, float size, std::int64_t group, bool integer_shift) {
    auto values = random_values(kOutputs * kInputs, 3);
    for (float& v : values) v *= size;
    Sample w(qtype, Dtype::bf16, kOutputs * (kInputs / group), group, values, integer_shift);
    w.quantize(scalar_kernels());
    const auto dense = as_floats(w.dequantize(scalar_kernels()), Dtype::bf16);
    LinearArgs a{w.matrix, kOutputs, kInputs, kInputs / group, Dtype::bf16, kInputs,
                 x.data(), nullptr,  nullptr, nullptr,         nullptr};
    const auto y = run(kernels().linear(a), a, kInputs * kOutputs);
    std::size_t different = 0;
    for (std::size_t k = 0; k < kInputs; ++k)
      for (std::size_t o = 0; o < kOutputs; ++o)
        different += y[k * kOutputs + o] != dense[o * kInputs + k];
    EXPECT_EQ(different, 0u) << "qtype " << static_cast<int>(qtype) << ", values of " << size
                             << ", groups of " << group << ", integer shift " << integer_shift;
  };
  for (QType qtype : kTypes)
    for (float size : {1.0f, 0x1p-98f, 0x1p90f}) {
      if (!is_affine(qtype)) expect(qtype, size, kInputs, false);
      for (std::int64_t group : {32, 64, 128})
        if (is_affine(qtype)) expect(qtype, size, group, false);
    }
  expect(QType::int4, 1.0f, 64, true);
  expect(QType::int2, 1.0f, 128, true);
}

TEST_P(EveryIsa, GivesTheSameBytesHoweverTheItemsAreSplit) {
  for (std::int64_t tokens : {1, 40}) {
    Sample w(QType::int4, Dtype::bf16, 96 * 2, 128, random_values(96 * 256, 3));
    w.quantize(scalar_kernels());
    const auto x = as_type(random_values(static_cast<std::size_t>(tokens * 256), 5), Dtype::bf16);
    LinearArgs a{w.matrix, 96,      256,     2,       Dtype::bf16, tokens,
                 x.data(), nullptr, nullptr, nullptr, nullptr};
    const LinearPath& path = kernels().linear(a);
    const auto whole = run(path, a, static_cast<std::size_t>(tokens * 96));
    LinearPath split = path;
    static const LinearPath* inner;
    inner = &path;
    split.run = [](const LinearArgs& args, std::int64_t begin, std::int64_t end, void* scratch) {
      for (std::int64_t i = end; i-- > begin;) inner->run(args, i, i + 1, scratch);
    };
    EXPECT_EQ(run(split, a, static_cast<std::size_t>(tokens * 96)), whole);
  }
}

TEST_P(EveryIsa, SumsInt8ByInt8Exactly) {
  for (auto [outputs, inputs, tokens] :
       {std::tuple{33, 100, 1}, {64, 256, 16}, {17, 1000, 19}, {130, 64, 70}}) {
    const auto count = static_cast<std::size_t>(outputs * inputs);
    Sample w(QType::int8, Dtype::f32, outputs, inputs, random_values(count, 1));
    w.quantize(scalar_kernels());
    std::vector<std::int8_t> x(static_cast<std::size_t>(tokens * inputs));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::int8_t>(i * 89 % 256 - 128);
    const auto scales = as_floats(w.scale, Dtype::f32);
    LinearArgs a{w.matrix, outputs, inputs,        1,      Dtype::f32, tokens, x.data(),
                 nullptr,  nullptr, scales.data(), nullptr};
    const auto results = static_cast<std::size_t>(tokens * outputs);
    EXPECT_EQ(run(kernels().linear_int8(a), a, results),
              run(scalar_kernels().linear_int8(a), a, results));
  }
}

TEST_P(EveryIsa, GivesTheGradientOfTheInput) {
  for (QType qtype : kTypes)
    for (auto [outputs, inputs, group, tokens] : {std::tuple{24, 160, 32, 3}, {13, 70, 70, 21}}) {
      const std::int64_t columns = is_affine(qtype) ? group : inputs;
      Sample w(qtype, Dtype::f32, outputs * (inputs / columns), columns,
               random_values(static_cast<std::size_t>(outputs * inputs), 3));
      w.quantize(scalar_kernels());
      const auto grad = random_values(static_cast<std::size_t>(tokens * outputs), 4);
      LinearArgs a{w.matrix,    outputs, inputs,  inputs / columns, Dtype::f32, tokens,
                   grad.data(), nullptr, nullptr, nullptr,          nullptr};
      const auto found = run(kernels().backward(a), a, static_cast<std::size_t>(tokens * inputs));
      const auto dense = as_floats(w.dequantize(scalar_kernels()), Dtype::f32);
      for (std::int64_t t = 0; t < tokens; ++t)
        for (std::int64_t k = 0; k < inputs; ++k) {
          double sum = 0.0;
          for (std::int64_t o = 0; o < outputs; ++o)
            sum += static_cast<double>(grad[static_cast<std::size_t>(t * outputs + o)]) *
                   dense[static_cast<std::size_t>(o * inputs + k)];
          ASSERT_NEAR(found[static_cast<std::size_t>(t * inputs + k)], sum, 2e-5);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Cpu, EveryIsa, testing::ValuesIn(cpu::kAllIsas),
                         [](const auto& isa) { return std::string(cpu::name_of(isa.param)); });

TEST(Float16, ConvertsEveryValueThereAndBack) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const cpu::Float16 half{static_cast<std::uint16_t>(bits)};
    if ((bits & 0x7fffu) > 0x7c00u) continue;
    EXPECT_EQ(cpu::from_float<cpu::Float16>(cpu::to_float(half)).bits, bits);
  }
  EXPECT_EQ(cpu::from_float<cpu::Float16>(65519.0f).bits, 0x7bff);
  EXPECT_EQ(cpu::from_float<cpu::Float16>(65520.0f).bits, 0x7c00)
      << "half way rounds to even, which is infinity";
  EXPECT_EQ(cpu::from_float<cpu::Float16>(0x1p-25f).bits, 0)
      << "half of the smallest value rounds to even";
}

TEST(Float8, ConvertsEveryValueThereAndBack) {
  for (const cpu::Float8Format& f : {cpu::kE4m3fn, cpu::kE4m3fnuz, cpu::kE5m2})
    for (int code = 0; code < 256; ++code) {
      const float value = cpu::float_from_float8(static_cast<std::uint8_t>(code), f);
      if (!std::isfinite(value)) continue;
      EXPECT_EQ(cpu::float8_from_float(value, f), code);
    }
}

}  // namespace
}  // namespace quanthost::quanto

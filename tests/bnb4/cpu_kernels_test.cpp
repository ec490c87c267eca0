// The CPU kernels: bitsandbytes' known vectors, every instruction set against the scalar one,
// products against float64.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "plugins/bnb4/dynamic_map.hpp"
#include "plugins/bnb4/kernels/cpu/operations.hpp"
#include "tests/bnb4/test_exec.hpp"

namespace quanthost::bnb4::cpu {
namespace {

using test::TestExec;

std::string hex(const std::vector<uint8_t>& bytes) {
  std::string out;
  for (const uint8_t byte : bytes) {
    char text[3];
    std::snprintf(text, sizeof(text), "%02x", byte);
    out += text;
  }
  return out;
}

struct Quantized {
  std::vector<uint8_t> packed;
  std::vector<float> absmax;
};

template <class T>
constexpr FloatType type_of() {
  if constexpr (std::is_same_v<T, Half>) return FloatType::kFloat16;
  if constexpr (std::is_same_v<T, Bfloat>) return FloatType::kBfloat16;
  return FloatType::kFloat32;
}

template <class T>
std::vector<T> converted(const std::vector<float>& values) {
  std::vector<T> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) from_float(values[i], &out[i]);
  return out;
}

template <class T>
Quantized quantized(const KernelTable& kernels, const std::vector<T>& source, int64_t blocksize,
                    QuantType type, Rule rule = Rule::kCpu, int threads = 1) {
  const auto count = static_cast<int64_t>(source.size());
  Quantized out{std::vector<uint8_t>(static_cast<size_t>(packed_bytes(count))),
                std::vector<float>(static_cast<size_t>(block_count(count, blocksize)))};
  const TestExec exec(threads);
  EXPECT_EQ(quantize(kernels, exec.abi(),
                     {source.data(), type_of<T>(), count, blocksize, type, rule, out.packed.data(),
                      out.absmax.data()}),
            QH_OK);
  return out;
}

template <class T>
std::vector<T> dequantized(const KernelTable& kernels, const Quantized& weight, int64_t count,
                           int64_t blocksize, QuantType type, int threads = 1) {
  std::vector<T> out(static_cast<size_t>(count));
  const TestExec exec(threads);
  EXPECT_EQ(dequantize(kernels, exec.abi(),
                       {weight.packed.data(), weight.absmax.data(), nullptr, count, blocksize, type,
                        type_of<T>(), out.data()}),
            QH_OK);
  return out;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// Normal values with zeros, repeated and denormal ones among them.
std::vector<float> random_values(size_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::vector<float> out(count);
  for (size_t i = 0; i < count; ++i) {
    out[i] = normal(engine);
    if (i % 17 == 3) out[i] = 0.0f;
    if (i % 301 == 7) out[i] = 1e-41f;
    if (i % 211 < 3) out[i] = out[i] < 0 ? -0.25f : 0.25f;
  }
  return out;
}

std::vector<float> vector_v1() {
  std::vector<float> values(64);
  for (int i = 0; i < 64; ++i) values[static_cast<size_t>(i)] = static_cast<float>(i - 32) / 8.0f;
  return values;
}

class CpuKernels : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > quanthost::cpu::best_isa())
      GTEST_SKIP() << "this processor does not have the instructions";
  }
  const KernelTable& kernels() const { return kernels_for(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Isa, CpuKernels, testing::ValuesIn(quanthost::cpu::kAllIsas),
                         [](const auto& info) { return quanthost::cpu::name_of(info.param); });

TEST_P(CpuKernels, PackBitsandbytesKnownBytes) {
  const char* nf4 = "000001111111122222333344455566677788999aaabbbccccddddeeeeeeeffff";
  const char* fp4 = "bbbbbbaaaaaaaadddddccccfffeeee9901166667774444555552222222233333";
  EXPECT_EQ(hex(quantized(kernels(), vector_v1(), 64, QuantType::kNf4).packed), nf4);
  EXPECT_EQ(hex(quantized(kernels(), converted<Half>(vector_v1()), 64, QuantType::kNf4).packed),
            nf4);
  EXPECT_EQ(hex(quantized(kernels(), converted<Bfloat>(vector_v1()), 64, QuantType::kNf4).packed),
            nf4);
  const Quantized four = quantized(kernels(), vector_v1(), 64, QuantType::kFp4);
  EXPECT_EQ(hex(four.packed), fp4);
  EXPECT_EQ(four.absmax, std::vector<float>{4.0f});
}

TEST_P(CpuKernels, PackAShortLastBlockOfOddLength) {
  const std::vector<float> values = {0.5f, -1.0f, 0.25f, 2.0f, -0.1f};
  const Quantized nf4 = quantized(kernels(), values, 64, QuantType::kNf4);
  EXPECT_EQ(hex(nf4.packed), "a29f67");
  EXPECT_EQ(nf4.absmax, std::vector<float>{2.0f});
  EXPECT_EQ(hex(quantized(kernels(), values, 64, QuantType::kFp4).packed), "7d6390");
  EXPECT_EQ(hex(quantized(kernels(), std::vector<float>{-1.0f}, 64, QuantType::kNf4).packed), "07");
}

TEST_P(CpuKernels, DequantizeToTheKnownFloats) {
  const Quantized weight = quantized(kernels(), vector_v1(), 64, QuantType::kNf4);
  const std::vector<Half> halves = dequantized<Half>(kernels(), weight, 64, 64, QuantType::kNf4);
  EXPECT_EQ(halves.front().bits, 0xc400);
  EXPECT_EQ(halves[5].bits, 0xc192);
  EXPECT_EQ(halves.back().bits, 0x4400);
  const std::vector<Bfloat> bfloats =
      dequantized<Bfloat>(kernels(), weight, 64, 64, QuantType::kNf4);
  EXPECT_EQ(bfloats.front().bits, 0xc080);
  EXPECT_EQ(bfloats[5].bits, 0xc032);
}

TEST_P(CpuKernels, TreatZeroInfiniteAndNanBlocksAsBitsandbytesDoes) {
  const std::vector<float> zeros(64, 0.0f);
  const Quantized zero_block = quantized(kernels(), zeros, 64, QuantType::kNf4);
  EXPECT_EQ(zero_block.packed, std::vector<uint8_t>(32, 0x77));
  EXPECT_EQ(zero_block.absmax, std::vector<float>{0.0f});
  EXPECT_EQ(quantized(kernels(), zeros, 64, QuantType::kFp4).packed,
            std::vector<uint8_t>(32, 0x00));
  const Quantized zero_tail =
      quantized(kernels(), std::vector<float>(3, 0.0f), 64, QuantType::kNf4);
  EXPECT_EQ(zero_tail.absmax, std::vector<float>{1e-38f});

  std::vector<float> infinite(64, 1.0f);
  infinite[3] = INFINITY;
  std::vector<uint8_t> expected(32, 0x77);
  expected[1] = 0x7f;
  EXPECT_EQ(quantized(kernels(), infinite, 64, QuantType::kNf4).packed, expected);

  infinite[3] = NAN;
  const Quantized nan_block = quantized(kernels(), infinite, 64, QuantType::kNf4);
  EXPECT_EQ(nan_block.packed, std::vector<uint8_t>(32, 0xff));
  EXPECT_TRUE(std::isnan(nan_block.absmax[0]));
  EXPECT_EQ(quantized(kernels(), infinite, 64, QuantType::kFp4).packed,
            std::vector<uint8_t>(32, 0x33));
}

template <class T>
void expect_scalar_bytes(const KernelTable& kernels) {
  for (const int64_t blocksize : {32, 64, 128, 4096}) {
    for (const size_t count : {1u, 31u, 64u, 65u, 4096u, 20001u}) {
      for (const QuantType type : {QuantType::kNf4, QuantType::kFp4}) {
        const std::vector<T> source =
            converted<T>(random_values(count, static_cast<uint32_t>(count)));
        const Quantized expected = quantized(scalar_kernels(), source, blocksize, type);
        const Quantized got = quantized(kernels, source, blocksize, type, Rule::kCpu, 3);
        ASSERT_EQ(got.packed, expected.packed) << count << " in blocks of " << blocksize;
        ASSERT_TRUE(same_bits(got.absmax, expected.absmax));
        const auto elements = static_cast<int64_t>(count);
        ASSERT_TRUE(
            same_bits(dequantized<T>(kernels, expected, elements, blocksize, type, 3),
                      dequantized<T>(scalar_kernels(), expected, elements, blocksize, type)))
            << count << " in blocks of " << blocksize;
      }
    }
  }
}

TEST_P(CpuKernels, GiveTheScalarPathsBytesForFloat32) { expect_scalar_bytes<float>(kernels()); }
TEST_P(CpuKernels, GiveTheScalarPathsBytesForFloat16) { expect_scalar_bytes<Half>(kernels()); }
TEST_P(CpuKernels, GiveTheScalarPathsBytesForBfloat16) { expect_scalar_bytes<Bfloat>(kernels()); }

struct Shape {
  int64_t rows;
  int64_t columns;
  int64_t blocksize;
};
constexpr Shape kShapes[] = {{64, 128, 64}, {33, 192, 64}, {50, 96, 64},
                             {20, 99, 64},  {70, 512, 32}, {40, 4096, 2048}};

// Input, weight and the float64 product of the two.
struct Problem {
  Shape shape;
  int64_t batch;
  Quantized weight;
  std::vector<float> dense;
  std::vector<float> input;
};

Problem make_problem(const Shape& shape, int64_t batch, int64_t input_columns) {
  Problem problem{shape, batch, {}, {}, {}};
  const auto count = static_cast<size_t>(shape.rows * shape.columns);
  problem.weight =
      quantized(scalar_kernels(), random_values(count, 1), shape.blocksize, QuantType::kNf4);
  problem.dense = dequantized<float>(scalar_kernels(), problem.weight, shape.rows * shape.columns,
                                     shape.blocksize, QuantType::kNf4);
  problem.input = random_values(static_cast<size_t>(batch * input_columns), 2);
  return problem;
}

template <class T>
std::vector<T> forward(const KernelTable& kernels, const Problem& problem,
                       const std::vector<T>& input, FloatType compute,
                       const std::vector<float>& bias, int threads) {
  const Shape& shape = problem.shape;
  std::vector<T> output(static_cast<size_t>(problem.batch * shape.rows));
  const TestExec exec(threads);
  EXPECT_EQ(linear(kernels, exec.abi(),
                   {{problem.weight.packed.data(), problem.weight.absmax.data(), 0, QuantType::kNf4,
                     shape.blocksize, shape.rows, shape.columns},
                    nullptr,
                    input.data(),
                    type_of<T>(),
                    compute,
                    problem.batch,
                    bias.empty() ? nullptr : bias.data(),
                    FloatType::kFloat32,
                    output.data()}),
            QH_OK);
  return output;
}

// Largest error over the largest result.
template <class T>
double forward_error(const Problem& problem, const std::vector<T>& input,
                     const std::vector<T>& output, const std::vector<float>& bias) {
  double worst = 0;
  double largest = 0;
  const Shape& shape = problem.shape;
  for (int64_t b = 0; b < problem.batch; ++b) {
    for (int64_t n = 0; n < shape.rows; ++n) {
      double expected = bias.empty() ? 0.0 : bias[static_cast<size_t>(n)];
      for (int64_t k = 0; k < shape.columns; ++k) {
        expected +=
            static_cast<double>(to_float(input[static_cast<size_t>(b * shape.columns + k)])) *
            problem.dense[static_cast<size_t>(n * shape.columns + k)];
      }
      largest = std::max(largest, std::fabs(expected));
      worst = std::max(
          worst, std::fabs(expected - to_float(output[static_cast<size_t>(b * shape.rows + n)])));
    }
  }
  return worst / largest;
}

template <class T>
void expect_products(const KernelTable& kernels, FloatType compute, double bound) {
  for (const Shape& shape : kShapes) {
    for (const int64_t batch : {1, 2, 3, 4, 5, 16, 17, 35}) {
      const Problem problem = make_problem(shape, batch, shape.columns);
      const std::vector<T> input = converted<T>(problem.input);
      const std::vector<float> bias =
          batch % 2 ? random_values(static_cast<size_t>(shape.rows), 3) : std::vector<float>();
      const std::vector<T> output = forward(kernels, problem, input, compute, bias, 1);
      EXPECT_LT(forward_error(problem, input, output, bias), bound)
          << shape.rows << "x" << shape.columns << " by " << shape.blocksize << ", batch " << batch;
      EXPECT_TRUE(same_bits(output, forward(kernels, problem, input, compute, bias, 3)))
          << "threads change the result";
    }
  }
}

TEST_P(CpuKernels, MultiplyInFloat32WithinRounding) {
  expect_products<float>(kernels(), FloatType::kFloat32, 1e-5);
}
TEST_P(CpuKernels, MultiplyInFloat16WithinRounding) {
  expect_products<Half>(kernels(), FloatType::kFloat16, 1e-3);
}
TEST_P(CpuKernels, MultiplyInBfloat16WithinRounding) {
  expect_products<Bfloat>(kernels(), FloatType::kBfloat16, 8e-3);
}
TEST_P(CpuKernels, MultiplyBfloat16InputsInFloat32) {
  expect_products<Bfloat>(kernels(), FloatType::kFloat32, 8e-3);
}

// Tiles of eight rows and what is left of them; panels of 48 and, of long rows, 24 weight rows.
TEST_P(CpuKernels, MultiplyEveryBatchInBfloat16) {
  for (const Shape& shape : {Shape{101, 192, 64}, Shape{53, 5568, 64}, Shape{5, 1088, 64}}) {
    for (int64_t batch = 1; batch <= 128; batch += batch < 20 ? 1 : 108) {
      const Problem problem = make_problem(shape, batch, shape.columns);
      const std::vector<Bfloat> input = converted<Bfloat>(problem.input);
      const std::vector<Bfloat> output =
          forward(kernels(), problem, input, FloatType::kBfloat16, {}, 2);
      EXPECT_LT(forward_error(problem, input, output, {}), 8e-3)
          << shape.rows << "x" << shape.columns << ", batch " << batch;
      if (shape.columns > 1000 && batch > 16) break;
    }
  }
}

TEST_P(CpuKernels, GiveTheInputGradient) {
  for (const Shape& shape : kShapes) {
    for (const int64_t batch : {1, 7, 70}) {
      const Problem problem = make_problem(shape, batch, shape.rows);
      std::vector<float> gradient(static_cast<size_t>(batch * shape.columns));
      const TestExec exec(2);
      ASSERT_EQ(backward(kernels(), exec.abi(),
                         {{problem.weight.packed.data(), problem.weight.absmax.data(), 0,
                           QuantType::kNf4, shape.blocksize, shape.rows, shape.columns},
                          nullptr,
                          problem.input.data(),
                          FloatType::kFloat32,
                          batch,
                          gradient.data()}),
                QH_OK);
      double worst = 0;
      double largest = 0;
      for (int64_t b = 0; b < batch; ++b) {
        for (int64_t k = 0; k < shape.columns; ++k) {
          double expected = 0;
          for (int64_t n = 0; n < shape.rows; ++n) {
            expected +=
                static_cast<double>(problem.input[static_cast<size_t>(b * shape.rows + n)]) *
                problem.dense[static_cast<size_t>(n * shape.columns + k)];
          }
          largest = std::max(largest, std::fabs(expected));
          worst = std::max(
              worst, std::fabs(expected - gradient[static_cast<size_t>(b * shape.columns + k)]));
        }
      }
      EXPECT_LT(worst / largest, 2e-6) << shape.rows << "x" << shape.columns << ", batch " << batch;
    }
  }
}

TEST_P(CpuKernels, UseNestedScalesAsIfTheyWereExpanded) {
  const Shape shape = {300, 256, 64};
  const Problem problem = make_problem(shape, 3, shape.columns);
  const auto blocks = static_cast<int64_t>(problem.weight.absmax.size());
  std::vector<uint8_t> codes(static_cast<size_t>(blocks));
  std::vector<float> nested_absmax(static_cast<size_t>(block_count(blocks, kNestedBlocksize)));
  float offset = 0;
  ASSERT_EQ(quantize_scales(problem.weight.absmax.data(), blocks, Rule::kCpu, codes.data(),
                            nested_absmax.data(), &offset),
            QH_OK);
  const NestedScales nested = {codes.data(), nested_absmax.data(), dynamic_map().data(), offset,
                               kNestedBlocksize};
  Problem expanded = problem;
  kernels().expand_scales(nested, 0, blocks, expanded.weight.absmax.data());

  const TestExec exec(3);
  const int64_t count = shape.rows * shape.columns;
  std::vector<float> dense(static_cast<size_t>(count));
  ASSERT_EQ(dequantize(kernels(), exec.abi(),
                       {problem.weight.packed.data(), nullptr, &nested, count, shape.blocksize,
                        QuantType::kNf4, FloatType::kFloat32, dense.data()}),
            QH_OK);
  EXPECT_TRUE(same_bits(dense, dequantized<float>(kernels(), expanded.weight, count,
                                                  shape.blocksize, QuantType::kNf4)));

  std::vector<float> output(static_cast<size_t>(3 * shape.rows));
  ASSERT_EQ(linear(kernels(), exec.abi(),
                   {{problem.weight.packed.data(), nullptr, 0, QuantType::kNf4, shape.blocksize,
                     shape.rows, shape.columns},
                    &nested,
                    problem.input.data(),
                    FloatType::kFloat32,
                    FloatType::kFloat32,
                    3,
                    nullptr,
                    FloatType::kFloat32,
                    output.data()}),
            QH_OK);
  EXPECT_TRUE(
      same_bits(output, forward(kernels(), expanded, problem.input, FloatType::kFloat32, {}, 1)));
}

TEST(DynamicMap, HasBitsandbytesEntries) {
  const auto& map = dynamic_map();
  const uint32_t first[] = {0xbf7e3333, 0xbf7a999a, 0xbf770000, 0xbf736666};
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(std::bit_cast<uint32_t>(map[i]), first[i]);
  EXPECT_EQ(map[127], 0.0f);
  EXPECT_EQ(map[255], 1.0f);
  EXPECT_EQ(std::bit_cast<uint32_t>(map[126]), 0xb513a3b7);
}

TEST(DynamicMap, IsCoarseAroundZeroOnTheCpuAndNearestOnCuda) {
  const std::vector<float> values = {-1.0f, -0.5f, -0.01f, -1e-5f, 0.0f,
                                     1e-5f, 3e-5f, 0.01f,  0.5f,   1.0f};
  std::vector<uint8_t> codes(values.size());
  float absmax = 0;
  quantize_8bit(values.data(), 10, 256, Rule::kCpu, codes.data(), &absmax);
  EXPECT_EQ(codes, (std::vector<uint8_t>{0, 35, 96, 123, 131, 131, 131, 158, 219, 255}));
  quantize_8bit(values.data(), 10, 256, Rule::kCuda, codes.data(), &absmax);
  EXPECT_EQ(codes, (std::vector<uint8_t>{0, 35, 96, 124, 127, 130, 131, 158, 219, 255}));
  EXPECT_EQ(absmax, 1.0f);
}

TEST(DoubleQuantization, GivesBitsandbytesKnownVector) {
  std::vector<float> weight(128);
  for (int i = 0; i < 128; ++i) {
    weight[static_cast<size_t>(i)] =
        static_cast<float>((37 * i) % 101 - 50) / 50.0f * (i < 64 ? 0.5f : 2.0f);
  }
  const Quantized result = quantized(scalar_kernels(), weight, 64, QuantType::kNf4);
  EXPECT_EQ(hex(result.packed).substr(0, 64),
            "04c16e29f3b05d17e29f3c05d18e2af4c16e18e3b05d17e29f3b05d18e2af4c1");
  std::vector<uint8_t> codes(2);
  float nested = 0;
  float offset = 0;
  ASSERT_EQ(quantize_scales(result.absmax.data(), 2, Rule::kCpu, codes.data(), &nested, &offset),
            QH_OK);
  EXPECT_EQ(codes, (std::vector<uint8_t>{0, 255}));
  EXPECT_EQ(nested, 0.75f);
  EXPECT_EQ(offset, 1.25f);
}

TEST(CudaRule, DiffersFromTheCpuRuleWhereUpstreamDoes) {
  const std::vector<float> zeros(64, 0.0f);
  EXPECT_EQ(quantized(scalar_kernels(), zeros, 64, QuantType::kNf4, Rule::kCuda).packed,
            std::vector<uint8_t>(32, 0x00));
  // Tiny values: -0 (code 8) for negative ones on CUDA, for positive ones on the CPU.
  EXPECT_EQ(encode_cuda(-0.001f, QuantType::kFp4), 8);
  EXPECT_EQ(encode_cuda(0.001f, QuantType::kFp4), 0);
  EXPECT_EQ(encode_cpu(-0.001f, QuantType::kFp4), 0);
  EXPECT_EQ(encode_cpu(0.001f, QuantType::kFp4), 8);
  const std::vector<float> values = random_values(4096, 5);
  EXPECT_EQ(quantized(scalar_kernels(), values, 64, QuantType::kNf4, Rule::kCuda).packed,
            quantized(scalar_kernels(), values, 64, QuantType::kNf4, Rule::kCpu).packed);
}

}  // namespace
}  // namespace quanthost::bnb4::cpu

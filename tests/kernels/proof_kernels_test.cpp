// Every proof kernel, on every target this machine can run, against plain loops.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "quanthost/kernel/emulated_stream.h"
#include "quanthost/kernel/float16.hpp"
#include "tests/kernels/proof_library.hpp"

namespace quanthost::testing {
namespace {

struct Target {
  const char* name;
  std::uint32_t warp_size;  // of the emulator
  std::uint64_t seed;
};

std::string name_of(const ::testing::TestParamInfo<Target>& info) {
  std::string name = info.param.name;
  if (info.param.warp_size != 0) {
    name +=
        "_warp" + std::to_string(info.param.warp_size) + "_seed" + std::to_string(info.param.seed);
  }
  return name;
}

class ProofKernels : public ::testing::TestWithParam<Target> {
 protected:
  void SetUp() override {
    if (!library_.why_unavailable().empty()) GTEST_SKIP() << library_.why_unavailable();
    stream_ = {sizeof stream_, GetParam().warp_size, GetParam().seed, 0, 0, nullptr, nullptr};
    if (GetParam().warp_size != 0) library_.set_stream(&stream_);
  }

  std::vector<float> random_floats(std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values) value = normal(random);
    return values;
  }

  template <class T>
  using Memory = ProofLibrary::Memory<T>;

  ProofLibrary library_{GetParam().name};
  qh_emulated_stream stream_{};
};

TEST_P(ProofKernels, VectorAddGivesTheSumOfEachPair) {
  for (const int count : {1, 1023, 4096, 5001}) {
    const std::vector<float> left = random_floats(count, 1);
    const std::vector<float> right = random_floats(count, 2);
    const Memory<float> a(library_, left), b(library_, right), sum(library_, left.size());
    library_.call(library_.table().vector_add, a.data(), b.data(), sum.data(), count);
    std::vector<float> expected(left.size());
    std::transform(left.begin(), left.end(), right.begin(), expected.begin(), std::plus<>());
    EXPECT_EQ(sum.read(), expected) << count << " elements";
  }
}

TEST_P(ProofKernels, BlockAbsmaxIsExactForShortLastBlocksToo) {
  const int count = 10000;
  const std::vector<float> values = random_floats(count, 3);
  for (const int block : {64, 256, 4096}) {
    std::vector<float> expected((count + block - 1) / block);
    for (int i = 0; i < count; ++i)
      expected[i / block] = std::max(expected[i / block], std::fabs(values[i]));
    const Memory<float> input(library_, values), absmax(library_, expected.size());
    library_.call(library_.table().block_absmax, input.data(), absmax.data(), count, block);
    EXPECT_EQ(absmax.read(), expected) << "blocks of " << block;
  }
}

TEST_P(ProofKernels, MatmulOfBf16IsWithinTheBoundOfItsFloat32Sums) {
  struct Shape {
    int m, n, k;
  };
  for (const Shape shape : {Shape{16, 8, 16}, Shape{33, 70, 80}, Shape{64, 128, 256}}) {
    const auto to_bf16 = [](const std::vector<float>& values) {
      std::vector<std::uint16_t> bits;
      for (const float value : values) bits.push_back(gpu::to_bf16(value).bits);
      return bits;
    };
    const std::vector<std::uint16_t> left =
        to_bf16(random_floats(std::size_t(shape.m) * shape.k, 4));
    const std::vector<std::uint16_t> right =
        to_bf16(random_floats(std::size_t(shape.n) * shape.k, 5));
    const Memory<std::uint16_t> a(library_, left), b(library_, right);
    const Memory<float> product(library_, std::size_t(shape.m) * shape.n);
    library_.call(library_.table().matmul_bf16, a.data(), b.data(), product.data(), shape.m,
                  shape.n, shape.k);
    const std::vector<float> got = product.read();
    for (int row = 0; row < shape.m; ++row) {
      for (int column = 0; column < shape.n; ++column) {
        double sum = 0, magnitude = 0;
        for (int k = 0; k < shape.k; ++k) {
          const double term =
              double(gpu::to_float(gpu::bf16_t{left[std::size_t(row) * shape.k + k]})) *
              gpu::to_float(gpu::bf16_t{right[std::size_t(column) * shape.k + k]});
          sum += term;
          magnitude += std::fabs(term);
        }
        // Products are exact in float32; each of the k additions rounds once, by at most one unit
        // of a truncating sum.
        const double bound = shape.k * magnitude * std::ldexp(1.0, -23);
        ASSERT_NEAR(got[std::size_t(row) * shape.n + column], sum, bound) << row << "," << column;
      }
    }
  }
}

TEST_P(ProofKernels, HistogramCountsEveryByte) {
  std::mt19937 random(6);
  std::vector<std::uint8_t> values(20011);
  for (std::uint8_t& value : values)
    value = static_cast<std::uint8_t>(random() % 64 * (random() % 4));
  std::vector<std::uint32_t> expected(256);
  for (const std::uint8_t value : values) ++expected[value];
  const Memory<std::uint8_t> input(library_, values);
  const Memory<std::uint32_t> bins(library_, expected.size());
  library_.call(library_.table().histogram, input.data(), bins.data(),
                static_cast<std::int32_t>(values.size()));
  EXPECT_EQ(bins.read(), expected);
}

TEST_P(ProofKernels, AsyncPipelineSumsEachTileWhateverTheirNumber) {
  for (const int tiles : {1, 2, 9}) {
    std::vector<float> values(std::size_t(tiles) * 1024);
    std::vector<float> expected(tiles);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] =
          static_cast<float>(i * 7919 % 1000);  // whole numbers: the sums are exact in any order
      expected[i / 1024] += values[i];
    }
    const Memory<float> input(library_, values), sums(library_, expected.size());
    library_.call(library_.table().tile_sums, input.data(), sums.data(), tiles);
    EXPECT_EQ(sums.read(), expected) << tiles << " tiles";
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, ProofKernels,
                         ::testing::Values(Target{"emulated", 32, 0}, Target{"emulated", 32, 1},
                                           Target{"emulated", 32, 20260101},
                                           Target{"emulated", 64, 0}, Target{"emulated", 64, 1},
                                           Target{"emulated", 64, 20260101}, Target{"cuda", 0, 0},
                                           Target{"hip", 0, 0}),
                         name_of);

}  // namespace
}  // namespace quanthost::testing

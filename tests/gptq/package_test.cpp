// The CPU package against the format's own definition of the dense matrix, for every instruction
// set that this machine has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "package/cpu_package.hpp"
#include "tests/gptq/random_weight.hpp"
#include "tests/quanto/serial_host.hpp"

namespace quanthost::gptq {
namespace {

using quanthost::testing::last_error;
using quanthost::testing::SerialExec;
using ::testing::HasSubstr;

class GptqPackage : public ::testing::Test {
 protected:
  const qh_gptq_kernels& table = cpu_package_table();
  SerialExec exec{3};

  // body(self) for every instruction set of this machine; the scalar one is the first.
  template <typename Body>
  void for_each_isa(Body&& body) {
    for (cpu::Isa isa :
         {cpu::Isa::scalar, cpu::Isa::avx2, cpu::Isa::avx512, cpu::Isa::avx512_bf16}) {
      if (isa > cpu::best_isa()) continue;
      SCOPED_TRACE(cpu::name_of(isa));
      CpuPackage package{quanthost::testing::serial_host(), kernels_for(isa)};
      body(reinterpret_cast<qh_package*>(&package));
    }
  }
  template <typename T>
  void expect_exact_dense(qh_package* self, const RandomWeight<T>& w, const qh_gptq_weight& abi) {
    std::vector<T> found(w.dense.size());
    ASSERT_EQ(table.dequantize(self, &exec.abi, &abi, kDtype<T>, found.data()), QH_OK)
        << last_error.message;
    EXPECT_EQ(std::memcmp(found.data(), w.dense.data(), found.size() * sizeof(T)), 0);
  }
};

std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (int bits : {2, 3, 4, 8})
    for (bool act_order : {false, true})
      for (const Shape& s : {Shape{0, 32, 32, -1, false}, Shape{0, 96, 100, 32, false},
                             Shape{0, 576, 70, 128, false}, Shape{0, 45, 7, 16, false},
                             Shape{0, 232, 300, 64, false}})
        all.push_back({bits, s.inputs, s.outputs, s.group_size, act_order});
  return all;
}

class GptqShapes : public GptqPackage, public ::testing::WithParamInterface<Shape> {
 protected:
  template <typename T>
  void check_dequantize() {
    const RandomWeight<T> w(GetParam());
    for_each_isa([&](qh_package* self) { expect_exact_dense(self, w, w.abi); });
  }
  // Sums of K terms in float32, and one rounding to T of at most 2^-8.
  template <typename T>
  void check_forward(double type_error) {
    const RandomWeight<T> w(GetParam());
    const std::int64_t inputs = w.abi.inputs, outputs = w.abi.outputs;
    for (std::int64_t batch : {1, 2, 4, 67}) {
      if (batch * inputs * outputs > 1000000) continue;  // sanitizers take seconds for these
      const auto x = random_floats<T>(batch * inputs, 21), bias = random_floats<T>(outputs, 22);
      std::vector<T> first;
      for_each_isa([&](qh_package* self) {
        std::vector<T> y(static_cast<std::size_t>(batch * outputs));
        const qh_gptq_product_args args{sizeof(args), kDtype<T>, x.data(),  bias.data(),
                                        y.data(),     batch,     kDtype<T>, 0};
        ASSERT_EQ(table.forward(self, &exec.abi, &w.abi, &args), QH_OK) << last_error.message;
        if (first.empty()) {
          first = y;
          expect_product(w, x, bias, y, batch, type_error);
        } else if (reinterpret_cast<CpuPackage*>(self)->kernels.pairs) {
          expect_product(w, x, bias, y, batch, type_error);  // sums in another order
        } else {
          EXPECT_EQ(std::memcmp(y.data(), first.data(), y.size() * sizeof(T)), 0);
        }
      });
    }
  }
};

TEST_P(GptqShapes, DequantizeToTheFormatsBits) {
  check_dequantize<float>();
  check_dequantize<cpu::Float16>();
  check_dequantize<cpu::BFloat16>();
}

TEST_P(GptqShapes, MultiplyWithinABoundAndTheSameOnInstructionSetsWithoutPairs) {
  check_forward<float>(1e-5);
  check_forward<cpu::Float16>(2e-3);
  check_forward<cpu::BFloat16>(1e-2);
}

TEST_P(GptqShapes, GiveTheGradientOfTheInput) {
  const RandomWeight<float> w(GetParam());
  const std::int64_t inputs = w.abi.inputs, outputs = w.abi.outputs, batch = 3;
  const auto g = random_floats<float>(batch * outputs, 23);
  for_each_isa([&](qh_package* self) {
    std::vector<float> dx(static_cast<std::size_t>(batch * inputs));
    const qh_gptq_product_args args{sizeof(args), qh::kFloat32, g.data(),     nullptr,
                                    dx.data(),    batch,        qh::kFloat32, 0};
    ASSERT_EQ(table.backward_input(self, &exec.abi, &w.abi, &args), QH_OK) << last_error.message;
    expect_gradient(w, g, dx, batch, 1e-5);
  });
}

TEST_P(GptqShapes, MeanTheSameWithTheirRowsSortedByGroup) {
  const RandomWeight<float> w(GetParam());
  const auto inputs = static_cast<std::size_t>(w.abi.inputs);
  for_each_isa([&](qh_package* self) {
    std::vector<std::uint32_t> qweight(w.qweight.size());
    std::vector<std::int32_t> g_idx(inputs), order(inputs);
    ASSERT_EQ(table.sort_rows(self, &exec.abi, &w.abi, qweight.data(), g_idx.data(), order.data()),
              QH_OK)
        << last_error.message;
    EXPECT_TRUE(std::is_sorted(g_idx.begin(), g_idx.end()));
    qh_gptq_weight sorted = w.abi;
    sorted.qweight = qweight.data();
    sorted.g_idx = g_idx.data();
    sorted.input_order = order.data();
    expect_exact_dense(self, w, sorted);

    const auto x = random_floats<float>(w.abi.inputs, 31);
    const auto g = random_floats<float>(w.abi.outputs, 32);
    const auto product = [&](auto function, const qh_gptq_weight& weight, const auto& in,
                             std::int64_t size) {
      std::vector<float> out(static_cast<std::size_t>(size));
      const qh_gptq_product_args args{
          sizeof(args), qh::kFloat32, in.data(), nullptr, out.data(), 1, qh::kFloat32, 0};
      EXPECT_EQ(function(self, &exec.abi, &weight, &args), QH_OK) << last_error.message;
      return out;
    };
    EXPECT_THAT(product(table.forward, sorted, x, w.abi.outputs),
                ::testing::Pointwise(::testing::FloatNear(1e-3f),
                                     product(table.forward, w.abi, x, w.abi.outputs)));
    EXPECT_EQ(product(table.backward_input, sorted, g, w.abi.inputs),
              product(table.backward_input, w.abi, g, w.abi.inputs));
  });
}

INSTANTIATE_TEST_SUITE_P(Grid, GptqShapes, ::testing::ValuesIn(shapes()), [](const auto& info) {
  const Shape& s = info.param;
  return std::to_string(s.bits) + "bit_" + std::to_string(s.inputs) + "x" +
         std::to_string(s.outputs) + (s.act_order ? "_act_order" : "");
});

template <typename T>
class GptqCuts : public GptqPackage {};
using CutTypes = ::testing::Types<float, cpu::Float16, cpu::BFloat16>;
TYPED_TEST_SUITE(GptqCuts, CutTypes);

TYPED_TEST(GptqCuts, GiveTheSameBits) {
  using T = TypeParam;
  for (const bool act_order : {false, true}) {
    const RandomWeight<T> w({4, 576, 600, 64, act_order});
    for (const std::int64_t batch : {1, 2, 5}) {
      const auto x = random_floats<T>(batch * 576, 41);
      this->for_each_isa([&](qh_package* self) {
        std::vector<T> results[2];
        for (int run = 0; run < 2; ++run) {
          SerialExec cut(run == 0 ? 1 : INT64_MAX);
          results[run].resize(static_cast<std::size_t>(batch * 600));
          const qh_gptq_product_args args{sizeof(args),        kDtype<T>, x.data(),  nullptr,
                                          results[run].data(), batch,     kDtype<T>, 0};
          ASSERT_EQ(this->table.forward(self, &cut.abi, &w.abi, &args), QH_OK);
        }
        EXPECT_EQ(std::memcmp(results[0].data(), results[1].data(), results[0].size() * sizeof(T)),
                  0);
      });
    }
  }
}

TYPED_TEST(GptqCuts, GiveATokenTheSameBitsWhateverTokensAreBesideIt) {
  using T = TypeParam;
  constexpr std::int64_t kInputs = 232, kOutputs = 44, kMost = 150;
  const auto x = random_floats<T>(kMost * kInputs, 51);
  for (const int bits : {3, 4}) {
    const RandomWeight<T> w({bits, kInputs, kOutputs, 64, false});
    this->for_each_isa([&](qh_package* self) {
      const auto product = [&](std::int64_t batch) {
        std::vector<T> y(static_cast<std::size_t>(batch * kOutputs));
        const qh_gptq_product_args args{sizeof(args), kDtype<T>, x.data(),  nullptr,
                                        y.data(),     batch,     kDtype<T>, 0};
        EXPECT_EQ(this->table.forward(self, &this->exec.abi, &w.abi, &args), QH_OK);
        return y;
      };
      const std::vector<T> all = product(kMost);
      for (std::int64_t batch = 1; batch < 60; ++batch) {
        const std::vector<T> some = product(batch);
        EXPECT_EQ(std::memcmp(some.data(), all.data(), some.size() * sizeof(T)), 0)
            << batch << " tokens, " << bits << " bits";
      }
    });
  }
}

template <typename T>
class GptqHessian : public GptqPackage {};
TYPED_TEST_SUITE(GptqHessian, CutTypes);

// Odd numbers of tokens and columns that fill no panel; `keep` 0 reads nothing of what was there.
TYPED_TEST(GptqHessian, IsTheSumOfTheInputsProductsAlsoMirrored) {
  for (const std::int64_t columns : {1, 48, 70, 145}) {
    constexpr std::int64_t kTokens = 37;
    const auto x = random_floats<TypeParam>(kTokens * columns, 61);
    std::vector<double> expected(static_cast<std::size_t>(columns * columns));
    for (std::int64_t t = 0; t < kTokens; ++t)
      for (std::int64_t i = 0; i < columns * columns; ++i)
        expected[static_cast<std::size_t>(i)] +=
            double{cpu::to_float(x[static_cast<std::size_t>(t * columns + i / columns)])} *
            double{cpu::to_float(x[static_cast<std::size_t>(t * columns + i % columns)])};
    this->for_each_isa([&](qh_package* self) {
      std::vector<float> found(expected.size(), NAN);
      for (const auto& [keep, factor] : {std::pair{0.0f, 2.0f}, {0.5f, 1.0f}})
        ASSERT_EQ(this->table.add_to_hessian(self, &this->exec.abi, kDtype<TypeParam>, x.data(),
                                             kTokens, columns, keep, factor, found.data()),
                  QH_OK)
            << last_error.message;
      for (std::size_t i = 0; i < found.size(); ++i)
        ASSERT_NEAR(found[i], 2 * expected[i], 1e-4) << i << " of " << columns << " columns";
    });
  }
}

TEST_F(GptqPackage, RefusesWhatDoesNotFitAndSaysWhy) {
  CpuPackage package{quanthost::testing::serial_host(), kernels_for(cpu::best_isa())};
  auto* self = reinterpret_cast<qh_package*>(&package);
  const RandomWeight<float> w({4, 32, 32, 8, false});
  std::vector<float> out(32 * 32);
  const auto refused = [&](auto&& change, const char* because) {
    qh_gptq_weight wrong = w.abi;
    change(wrong);
    EXPECT_EQ(table.dequantize(self, &exec.abi, &wrong, qh::kFloat32, out.data()), QH_ERR_VALUE);
    EXPECT_THAT(last_error.message, HasSubstr(because));
  };
  refused([](auto& a) { a.bits = 5; }, "5 bits cannot be packed");
  refused([](auto& a) { a.inputs = -1; }, "inputs is -1");
  refused([](auto& a) { a.outputs = INT64_MAX; }, "outputs is");
  refused([](auto& a) { a.qweight = nullptr; }, "qweight is missing");
  refused([](auto& a) { a.groups = 3; }, "g_idx[24] is 3, and there are 3 groups");
  refused([](auto& a) { a.scale_dtype = qh::kInt8; }, "the scale has element type int8");
  std::vector<std::int32_t> order(32, 4);
  refused([&](auto& a) { a.input_order = order.data(); }, "input_order[1] is 4");
  EXPECT_EQ(table.dequantize(self, &exec.abi, &w.abi, qh::kInt8, out.data()), QH_ERR_VALUE);
  EXPECT_THAT(last_error.message, HasSubstr("int8"));
  qh_gptq_product_args args{
      sizeof(args), qh::kFloat32, nullptr, nullptr, out.data(), 1, qh::kFloat32, 0};
  EXPECT_EQ(table.forward(self, &exec.abi, &w.abi, &args), QH_ERR_VALUE);
  EXPECT_THAT(last_error.message, HasSubstr("input is missing"));
}

}  // namespace
}  // namespace quanthost::gptq

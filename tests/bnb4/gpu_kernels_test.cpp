// The GPU kernels on the emulator, with warps of 32 and of 64: CUDA's bytes, and products against
// float64.
#include <gtest/gtest.h>
#include <quanthost/kernel/emulated_stream.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "plugins/bnb4/dynamic_map.hpp"
#include "plugins/bnb4/format.hpp"
#include "tests/bnb4/package_library.hpp"

namespace quanthost::bnb4 {
namespace {

constexpr qh_dtype kFloat32 = {QH_DTYPE_FLOAT, 32, 1};
constexpr qh_dtype kFloat16 = {QH_DTYPE_FLOAT, 16, 1};
constexpr qh_dtype kBfloat16 = {QH_DTYPE_BFLOAT, 16, 1};

test::PackageLibrary& library() {
  // Hosts live as long as the process.
  static auto* opened = new test::PackageLibrary("emulated");
  return *opened;
}

class GpuKernels : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    ASSERT_NE(library().kernels, nullptr) << library().last_error;
    stream_.struct_size = sizeof(stream_);
    stream_.warp_size = GetParam();
    stream_.seed = 3;
    exec_.struct_size = sizeof(exec_);
    exec_.device_name = {"emulated:0", 10};
    exec_.device = {QH_DEVICE_CPU, 0};
    exec_.stream = &stream_;
  }
  const qh_bnb4_kernels& kernels() const { return *library().kernels; }
  qh_package* self() const { return library().self; }
  const qh_exec* exec() const { return &exec_; }

  struct Quantized {
    std::vector<uint8_t> packed;
    std::vector<float> absmax;
  };
  template <class T>
  Quantized quantized(const std::vector<T>& source, qh_dtype dtype, int64_t blocksize, int32_t type,
                      int32_t rule) {
    const auto count = static_cast<int64_t>(source.size());
    Quantized out{std::vector<uint8_t>(static_cast<size_t>(packed_bytes(count))),
                  std::vector<float>(static_cast<size_t>(block_count(count, blocksize)))};
    const qh_bnb4_quantize_args args = {
        sizeof(args),     type, source.data(), dtype, rule, count, blocksize, out.packed.data(),
        out.absmax.data()};
    EXPECT_EQ(kernels().quantize_4bit(self(), exec(), &args), QH_OK) << library().last_error;
    return out;
  }

 private:
  qh_emulated_stream stream_{};
  qh_exec exec_{};
};

INSTANTIATE_TEST_SUITE_P(Warp, GpuKernels, testing::Values(32u, 64u));

std::vector<float> random_values(size_t count, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::vector<float> out(count);
  for (size_t i = 0; i < count; ++i) out[i] = i % 17 == 3 ? 0.0f : normal(engine);
  return out;
}

// The CUDA rule written out for one block after another.
void reference(const std::vector<float>& source, int64_t blocksize, QuantType type,
               std::vector<uint8_t>* packed, std::vector<float>* absmax) {
  const auto count = static_cast<int64_t>(source.size());
  packed->assign(static_cast<size_t>(packed_bytes(count)), 0);
  absmax->clear();
  for (int64_t first = 0; first < count; first += blocksize) {
    const int64_t last = std::min(first + blocksize, count);
    float largest = 0;
    for (int64_t i = first; i < last; ++i)
      largest = std::fmax(largest, std::fabs(source[static_cast<size_t>(i)]));
    absmax->push_back(largest);
    for (int64_t i = first; i < last; ++i) {
      const unsigned code = encode_cuda(source[static_cast<size_t>(i)] * (1.0f / largest), type);
      (*packed)[static_cast<size_t>(i / 2)] |= static_cast<uint8_t>(i % 2 == 0 ? code << 4 : code);
    }
    if (last % 2 != 0) (*packed)[static_cast<size_t>(last / 2)] |= encode_cuda(0.0f, type);
  }
}

TEST_P(GpuKernels, QuantizeByCudasRule) {
  for (const QuantType type : {QuantType::kNf4, QuantType::kFp4}) {
    for (const int64_t blocksize : {32, 64, 256}) {
      for (const size_t count : {1u, 63u, 64u, 999u, 4096u}) {
        std::vector<float> source = random_values(count, 11);
        if (count > 200) std::fill(source.begin() + 64, source.begin() + 128, 0.0f);
        const Quantized got =
            quantized(source, kFloat32, blocksize, static_cast<int32_t>(type), QH_BNB4_RULE_OWN);
        std::vector<uint8_t> packed;
        std::vector<float> absmax;
        reference(source, blocksize, type, &packed, &absmax);
        ASSERT_EQ(got.packed, packed) << count << " in blocks of " << blocksize;
        ASSERT_EQ(got.absmax, absmax);
      }
    }
  }
}

TEST_P(GpuKernels, GiveTheCpusBytesByTheCpusRule) {
  test::PackageLibrary cpu("cpu");
  ASSERT_NE(cpu.kernels, nullptr) << cpu.last_error;
  qh_exec serial{};
  serial.struct_size = sizeof(serial);
  serial.parallel_for = [](void*, int64_t count, int64_t, qh_range_fn body, void* arg) {
    return body(arg, 0, count);
  };
  for (const int32_t type : {QH_BNB4_NF4, QH_BNB4_FP4}) {
    for (const size_t count : {5u, 64u, 999u, 4096u}) {
      std::vector<float> source = random_values(count, 12);
      if (count > 900) source[700] = NAN;
      const Quantized got = quantized(source, kFloat32, 64, type, QH_BNB4_RULE_CPU);
      Quantized expected = got;
      const qh_bnb4_quantize_args args = {sizeof(args),
                                          type,
                                          source.data(),
                                          kFloat32,
                                          QH_BNB4_RULE_OWN,
                                          static_cast<int64_t>(count),
                                          64,
                                          expected.packed.data(),
                                          expected.absmax.data()};
      ASSERT_EQ(cpu.kernels->quantize_4bit(cpu.self, &serial, &args), QH_OK) << cpu.last_error;
      EXPECT_EQ(got.packed, expected.packed);
      EXPECT_EQ(std::memcmp(got.absmax.data(), expected.absmax.data(), got.absmax.size() * 4), 0);
    }
  }
}

qh_bnb4_weight weight_of(const std::vector<uint8_t>& packed, const std::vector<float>& absmax,
                         int64_t rows, int64_t columns) {
  qh_bnb4_weight weight{};
  weight.struct_size = sizeof(weight);
  weight.quant_type = QH_BNB4_NF4;
  weight.rows = rows;
  weight.columns = columns;
  weight.blocksize = 64;
  weight.packed = packed.data();
  weight.scales.struct_size = sizeof(weight.scales);
  weight.scales.absmax = absmax.data();
  return weight;
}

// The dense values by the format's formula.
std::vector<float> dense_values(const std::vector<uint8_t>& packed,
                                const std::vector<float>& absmax, int64_t count) {
  std::vector<float> out(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    out[static_cast<size_t>(i)] =
        kNf4Codes[nibble_at(packed.data(), i)] * absmax[static_cast<size_t>(i / 64)];
  }
  return out;
}

TEST_P(GpuKernels, DequantizeToTheFormulasBits) {
  const std::vector<float> source = random_values(33 * 50, 5);
  const Quantized q = quantized(source, kFloat32, 64, QH_BNB4_NF4, QH_BNB4_RULE_OWN);
  const qh_bnb4_weight weight = weight_of(q.packed, q.absmax, 33, 50);
  const std::vector<float> expected = dense_values(q.packed, q.absmax, 33 * 50);
  std::vector<float> floats(expected.size());
  ASSERT_EQ(kernels().dequantize_4bit(self(), exec(), &weight, kFloat32, floats.data()), QH_OK)
      << library().last_error;
  EXPECT_EQ(floats, expected);
  std::vector<Bfloat> bfloats(expected.size());
  ASSERT_EQ(kernels().dequantize_4bit(self(), exec(), &weight, kBfloat16, bfloats.data()), QH_OK);
  for (size_t i = 0; i < expected.size(); ++i)
    ASSERT_EQ(bfloats[i].bits, to_bfloat(expected[i]).bits);
}

TEST_P(GpuKernels, QuantizeScalesToTheNearestEntry) {
  std::vector<float> scales = random_values(700, 6);
  for (float& scale : scales) scale = std::fabs(scale);
  std::vector<uint8_t> codes(scales.size());
  std::vector<float> nested(3);
  float offset = 0;
  ASSERT_EQ(kernels().quantize_scales(self(), exec(), scales.data(), 700, QH_BNB4_RULE_OWN,
                                      codes.data(), nested.data(), &offset),
            QH_OK)
      << library().last_error;
  double mean = 0;
  for (const float scale : scales) mean += scale;
  EXPECT_FLOAT_EQ(offset, static_cast<float>(mean / 700));
  std::vector<float> back(scales.size());
  ASSERT_EQ(kernels().dequantize_8bit(self(), exec(), codes.data(), nested.data(),
                                      dynamic_map().data(), 700, 256, back.data()),
            QH_OK);
  for (size_t i = 0; i < scales.size(); ++i) {
    const float value = (scales[i] - offset) * (1.0f / nested[i / 256]);
    ASSERT_EQ(codes[i], encode_dynamic_cuda(dynamic_map().data(), value));
    ASSERT_EQ(back[i], dynamic_map()[codes[i]] * nested[i / 256]);
  }
}

template <class T>
void expect_products(const qh_bnb4_kernels& kernels, qh_package* self, const qh_exec* exec,
                     qh_dtype dtype, double bound) {
  struct Case {
    int64_t rows, columns, batch;
  };
  for (const Case& c :
       {Case{33, 128, 1}, Case{20, 96, 3}, Case{40, 128, 9}, Case{17, 99, 6}, Case{80, 64, 35}}) {
    std::vector<uint8_t> packed;
    std::vector<float> absmax;
    reference(random_values(static_cast<size_t>(c.rows * c.columns), 7), 64, QuantType::kNf4,
              &packed, &absmax);
    const std::vector<float> dense = dense_values(packed, absmax, c.rows * c.columns);
    std::vector<T> input(static_cast<size_t>(c.batch * c.columns));
    std::vector<T> bias(static_cast<size_t>(c.rows));
    const std::vector<float> values = random_values(input.size(), 8);
    for (size_t i = 0; i < input.size(); ++i) from_float(values[i] * 20, &input[i]);
    for (size_t i = 0; i < bias.size(); ++i) from_float(values[i], &bias[i]);
    std::vector<T> output(static_cast<size_t>(c.batch * c.rows));
    const qh_bnb4_weight weight = weight_of(packed, absmax, c.rows, c.columns);
    const qh_bnb4_forward_args args = {
        sizeof(args), 0, input.data(), bias.data(), output.data(), c.batch, dtype, dtype, dtype, 0};
    ASSERT_EQ(kernels.forward(self, exec, &weight, &args), QH_OK) << library().last_error;
    double worst = 0;
    double largest = 0;
    for (int64_t b = 0; b < c.batch; ++b) {
      for (int64_t n = 0; n < c.rows; ++n) {
        double expected = to_float(bias[static_cast<size_t>(n)]);
        for (int64_t k = 0; k < c.columns; ++k) {
          expected += static_cast<double>(to_float(input[static_cast<size_t>(b * c.columns + k)])) *
                      dense[static_cast<size_t>(n * c.columns + k)];
        }
        largest = std::max(largest, std::fabs(expected));
        worst = std::max(
            worst, std::fabs(expected - to_float(output[static_cast<size_t>(b * c.rows + n)])));
      }
    }
    EXPECT_LT(worst / largest, bound) << c.rows << "x" << c.columns << ", batch " << c.batch;
  }
}

TEST_P(GpuKernels, MultiplyInFloat32WithinRounding) {
  expect_products<float>(kernels(), self(), exec(), kFloat32, 2e-6);
}
TEST_P(GpuKernels, MultiplyInFloat16WithinRounding) {
  expect_products<Half>(kernels(), self(), exec(), kFloat16, 2e-3);
}
TEST_P(GpuKernels, MultiplyInBfloat16WithinRounding) {
  expect_products<Bfloat>(kernels(), self(), exec(), kBfloat16, 1e-2);
}

TEST_P(GpuKernels, GiveTheInputGradient) {
  constexpr int64_t kRows = 70, kColumns = 96, kBatch = 5;
  std::vector<uint8_t> packed;
  std::vector<float> absmax;
  reference(random_values(kRows * kColumns, 9), 64, QuantType::kNf4, &packed, &absmax);
  const std::vector<float> dense = dense_values(packed, absmax, kRows * kColumns);
  const std::vector<float> grad = random_values(kBatch * kRows, 10);
  std::vector<float> result(kBatch * kColumns);
  const qh_bnb4_weight weight = weight_of(packed, absmax, kRows, kColumns);
  const qh_bnb4_backward_args args = {sizeof(args), 0, grad.data(), result.data(), kBatch,
                                      kFloat32,     0};
  ASSERT_EQ(kernels().backward_input(self(), exec(), &weight, &args), QH_OK)
      << library().last_error;
  for (int64_t b = 0; b < kBatch; ++b) {
    for (int64_t k = 0; k < kColumns; ++k) {
      double expected = 0;
      for (int64_t n = 0; n < kRows; ++n) {
        expected += static_cast<double>(grad[static_cast<size_t>(b * kRows + n)]) *
                    dense[static_cast<size_t>(n * kColumns + k)];
      }
      EXPECT_NEAR(result[static_cast<size_t>(b * kColumns + k)], expected, 1e-6);
    }
  }
}

TEST_P(GpuKernels, LeaveTheCpus8BitRuleToTheCpu) {
  std::vector<float> values(4, 1.0f);
  std::vector<uint8_t> codes(4);
  float absmax = 0;
  EXPECT_EQ(kernels().quantize_8bit(self(), exec(), values.data(), 4, 256, QH_BNB4_RULE_CPU,
                                    codes.data(), &absmax),
            QH_ERR_NOT_IMPLEMENTED);
  EXPECT_NE(library().last_error.find("CPU"), std::string::npos);
}

}  // namespace
}  // namespace quanthost::bnb4

// The package's C table against vectors made with optimum-quanto 0.2.7, and what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "package/cpu_package.hpp"
#include "tests/quanto/serial_host.hpp"
#include "tests/quanto/vectors.hpp"

namespace quanthost::quanto {
namespace {

using quanthost::testing::last_error;
using quanthost::testing::SerialExec;
using quanthost::testing::TestTensor;
using ::testing::HasSubstr;

class Package : public ::testing::Test {
 protected:
  CpuPackage package{quanthost::testing::serial_host(), kernels_for(cpu::best_isa())};
  qh_package* self = reinterpret_cast<qh_package*>(&package);
  const qh_quanto_kernels& table = cpu_package_table();
  SerialExec exec{3};

  struct Result {
    std::vector<std::uint8_t> data, scale, shift;
  };
  static std::vector<std::uint8_t> raw(const std::vector<float>& values) {
    std::vector<std::uint8_t> out(values.size() * 4);
    std::memcpy(out.data(), values.data(), out.size());
    return out;
  }
  Result quantize(std::int32_t qtype, std::vector<float> values, std::int64_t rows,
                  std::int64_t group = 0) {
    const auto columns = static_cast<std::int64_t>(values.size()) / rows;
    TestTensor<float> base(qh::kFloat32, {rows, columns}, std::move(values));
    qh_quanto_weight w{sizeof(w), qtype, 0, 0, group, rows, columns, nullptr, nullptr, nullptr};
    qh_quanto_layout layout{sizeof(layout), 0, {}, {}};
    EXPECT_EQ(table.layout(self, &w, &layout), QH_OK);
    TestTensor<std::uint8_t> data(data_dtype(static_cast<QType>(qtype)),
                                  {layout.data_shape[0], layout.data_shape[1]});
    TestTensor<float> scale(qh::kFloat32, {layout.scale_shape[0], layout.scale_shape[1]});
    TestTensor<float> shift(qh::kFloat32, {layout.scale_shape[0], layout.scale_shape[1]});
    w.data = &data.abi;
    w.scale = &scale.abi;
    w.shift = qtype <= QH_QUANTO_INT4 ? &shift.abi : nullptr;
    EXPECT_EQ(table.quantize(self, &exec.abi, &base.abi, 0, &w), QH_OK) << last_error.message;
    return {data.values, raw(scale.values), raw(shift.values)};
  }
};

const std::vector<float> kSmall = {.5f, -1.f, .25f, 2.f, 3.f, -.1f, 0.f, -6.f};

TEST_F(Package, StoresInt8AsUpstream) {
  const Result r = quantize(QH_QUANTO_INT8, kSmall, 2);
  EXPECT_EQ(r.data, bytes("20c0107f 40fe0081"));
  EXPECT_EQ(r.scale, bytes("0402813c 0683413d"));
}

TEST_F(Package, StoresInt4AndInt2AsUpstream) {
  const Result four = quantize(QH_QUANTO_INT4, kSmall, 2);
  EXPECT_EQ(four.data, bytes("f8a0a60f"));
  EXPECT_EQ(four.scale, bytes("cdcc4c3e 9a99193f"));
  EXPECT_EQ(four.shift, raw({1.f, 6.f}));
  const Result two = quantize(QH_QUANTO_INT2, kSmall, 2);
  EXPECT_EQ(two.data, bytes("0e080903"));
  EXPECT_EQ(two.scale, raw({1.f, 3.f}));
}

TEST_F(Package, StoresFloat8AsUpstream) {
  const Result fn = quantize(QH_QUANTO_FLOAT8_E4M3FN, kSmall, 2);
  EXPECT_EQ(fn.data, bytes("6ef6667e 76cf00fe"));
  EXPECT_EQ(fn.scale, bytes("2549923b b76d5b3c"));
  const Result fnuz = quantize(QH_QUANTO_FLOAT8_E4M3FNUZ, kSmall, 2);
  EXPECT_EQ(fnuz.data, bytes("6ff7677f 77d000ff"));
  EXPECT_EQ(fnuz.scale, bytes("8988083c cdcccc3c"));
  const Result e5m2 = quantize(QH_QUANTO_FLOAT8_E5M2, kSmall, 2);
  EXPECT_EQ(e5m2.data, bytes("73f76f7b 77e300fb"));
  EXPECT_EQ(e5m2.scale, bytes("25491238 b76ddb38"));
}

TEST_F(Package, PacksRowsThatLieApartAndFillsMissingOnesWithZero) {
  const std::vector<float> rows = {0, 1, 2, 3, 3, 2, 1, 0, 0, 0, 3, 3};
  const Result four = quantize(QH_QUANTO_INT4, rows, 3);
  EXPECT_EQ(four.data, bytes("0005faff 0f0a0500"));
  EXPECT_EQ(four.shift, bytes("00000080 00000080 00000080")) << "a minimum of 0 is stored as -0.0";
  EXPECT_EQ(quantize(QH_QUANTO_INT2, rows, 3).data, bytes("0c093633"));
}

TEST_F(Package, StoresGroupsAsUpstream) {
  const Result r = quantize(QH_QUANTO_INT4, sawtooth(16 * 256), 16, 128);
  EXPECT_EQ(std::vector<std::uint8_t>(r.data.begin(), r.data.begin() + 12),
            bytes("4096fb51b71d73c93e84ea40"));
  EXPECT_EQ(std::vector<std::uint8_t>(r.scale.begin(), r.scale.begin() + 4), bytes("8988083e"));
}

TEST_F(Package, RefinesTheShiftWithHqqWithoutMakingTheErrorWorse) {
  std::vector<float> values = sawtooth(8 * 64);
  values[5] = 9.0f;  // an outlier is what min-max spends its range on
  TestTensor<float> base(qh::kFloat32, {8, 64}, values), dense(qh::kFloat32, {8, 64});
  TestTensor<std::uint8_t> data(qh::kUint8, {4, 64});
  TestTensor<float> scale(qh::kFloat32, {8, 1}), shift(qh::kFloat32, {8, 1});
  const qh_quanto_weight w{sizeof(w), QH_QUANTO_INT4, 0,          0,         0, 8,
                           64,        &data.abi,      &scale.abi, &shift.abi};
  double errors[2];
  for (std::int32_t optimizer : {0, 1}) {
    ASSERT_EQ(table.quantize(self, &exec.abi, &base.abi, optimizer, &w), QH_OK)
        << last_error.message;
    ASSERT_EQ(table.dequantize(self, &exec.abi, &w, &dense.abi), QH_OK);
    double error = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) error += std::abs(values[i] - dense.values[i]);
    errors[optimizer] = error;
  }
  EXPECT_LT(errors[1], errors[0]);
}

TEST_F(Package, SeesTheLargestMagnitudeAndNotANumber) {
  TestTensor<float> x(qh::kFloat32, {100000});
  x.values[70000] = -5.5f;
  float found = 0;
  ASSERT_EQ(table.absmax(self, &exec.abi, &x.abi, &found), QH_OK);
  EXPECT_EQ(found, 5.5f);
  x.values[3] = std::numeric_limits<float>::quiet_NaN();
  ASSERT_EQ(table.absmax(self, &exec.abi, &x.abi, &found), QH_OK);
  EXPECT_TRUE(std::isnan(found));
}

TEST_F(Package, RefusesWhatDoesNotFitAndSaysWhy) {
  TestTensor<float> base(qh::kFloat32, {2, 4}, kSmall), scale(qh::kFloat32, {2, 1});
  TestTensor<std::uint8_t> data(qh::kInt8, {2, 4});
  qh_quanto_weight w{sizeof(w), QH_QUANTO_INT8, 0, 0, 0, 2, 4, &data.abi, &scale.abi, nullptr};
  const auto refused = [&](const char* because) {
    EXPECT_EQ(table.quantize(self, &exec.abi, &base.abi, 0, &w), QH_ERR_VALUE);
    EXPECT_THAT(last_error.message, HasSubstr(because));
  };
  w.group_size = 2;
  refused("group_size cannot be specified for 8-bit qtypes");
  w = {sizeof(w), QH_QUANTO_INT4, 0, 0, 3, 2, 4, &data.abi, &scale.abi, nullptr};
  refused("Group size (3) must be a divisor of (4)");
  w.group_size = 0;
  refused("data has element type int8; needed is uint8");
  w = {sizeof(w), QH_QUANTO_INT8, 7, 0, 0, 2, 4, &data.abi, &scale.abi, nullptr};
  refused("axis parameter must be 0 (first axis) or -1 (last axis)");
  w = {sizeof(w), QH_QUANTO_INT8, 0, 0, 0, INT64_MAX, 4, &data.abi, &scale.abi, nullptr};
  refused("cannot be quantized");
  w = {sizeof(w), QH_QUANTO_INT8, 0, 0, 0, 2, 5, &data.abi, &scale.abi, nullptr};
  refused("data has shape [2, 4]; needed are 10 elements");
  w = {sizeof(w), 9, 0, 0, 0, 2, 4, &data.abi, &scale.abi, nullptr};
  refused("unknown quantized type 9");
}

}  // namespace
}  // namespace quanthost::quanto

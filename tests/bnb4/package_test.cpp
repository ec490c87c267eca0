// The CPU provider through its table: what it refuses, and how it says so.
#include <gtest/gtest.h>

#include <vector>

#include "tests/bnb4/package_library.hpp"
#include "tests/bnb4/test_exec.hpp"

namespace quanthost::bnb4 {
namespace {

constexpr qh_dtype kFloat32 = {QH_DTYPE_FLOAT, 32, 1};

class CpuPackage : public testing::Test {
 protected:
  CpuPackage() {
    weight_.struct_size = sizeof(weight_);
    weight_.quant_type = QH_BNB4_NF4;
    weight_.rows = 2;
    weight_.columns = 64;
    weight_.blocksize = 64;
    weight_.packed = packed_.data();
    weight_.scales.struct_size = sizeof(weight_.scales);
    weight_.scales.absmax = absmax_.data();
  }
  static test::PackageLibrary& library() {
    static auto* opened = new test::PackageLibrary("cpu");
    return *opened;
  }
  qh_status dequantize(qh_dtype dtype) {
    return library().kernels->dequantize_4bit(library().self, &exec_.abi(), &weight_, dtype,
                                              out_.data());
  }
  void expect_refused(const std::string& words) {
    EXPECT_EQ(dequantize(kFloat32), QH_ERR_VALUE);
    EXPECT_NE(library().last_error.find(words), std::string::npos) << library().last_error;
  }

  test::TestExec exec_;
  std::vector<uint8_t> packed_ = std::vector<uint8_t>(64, 0x7f);
  std::vector<float> absmax_ = {2.0f, 3.0f};
  std::vector<float> out_ = std::vector<float>(128);
  qh_bnb4_weight weight_{};
};

TEST_F(CpuPackage, DequantizesThroughItsTable) {
  ASSERT_EQ(dequantize(kFloat32), QH_OK) << library().last_error;
  EXPECT_EQ(out_[0], 0.0f);
  EXPECT_EQ(out_[1], 2.0f);
  EXPECT_EQ(out_[127], 3.0f);
}

TEST_F(CpuPackage, RefusesBlockSizesTheFormatDoesNotHave) {
  weight_.blocksize = 48;
  expect_refused("block size 48");
}

TEST_F(CpuPackage, RefusesSizesWhoseProductOverflows) {
  weight_.rows = int64_t{1} << 40;
  weight_.columns = int64_t{1} << 40;
  expect_refused("impossible sizes");
  weight_.rows = -1;
  expect_refused("impossible sizes");
}

TEST_F(CpuPackage, RefusesMissingScales) {
  weight_.scales.absmax = nullptr;
  expect_refused("a scale for each block");
}

TEST_F(CpuPackage, RefusesUnknownTypes) {
  EXPECT_EQ(dequantize({QH_DTYPE_INT, 8, 1}), QH_ERR_VALUE);
  EXPECT_NE(library().last_error.find("int8"), std::string::npos);
  weight_.quant_type = 9;
  expect_refused("no 4-bit type 9");
}

TEST_F(CpuPackage, ReadsOnlyWhatTheCallersStructHas) {
  weight_.struct_size = 32;  // a caller that knows no packed pointer
  expect_refused("the packed weight is missing");
}

TEST_F(CpuPackage, ChecksItsOwnArithmetic) {
  EXPECT_EQ(library().plugin_api().self_test(library().plugin(), &exec_.abi()), QH_OK)
      << library().last_error;
}

}  // namespace
}  // namespace quanthost::bnb4

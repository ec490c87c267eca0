#include "host/checkpoint/dtype.hpp"

#include <gtest/gtest.h>

namespace quanthost {
namespace {

TEST(Dtype, IsFoundByItsSafetensorsName) {
  for (int i = 0; i < kDtypeCount; ++i) {
    const auto dtype = static_cast<Dtype>(i);
    EXPECT_EQ(dtype_from_safetensors_name(safetensors_name(dtype)), dtype);
  }
  EXPECT_EQ(dtype_from_safetensors_name("bf16"), std::nullopt) << "names are case-sensitive";
  EXPECT_EQ(dtype_from_safetensors_name(""), std::nullopt);
}

TEST(Dtype, IsFoundByItsTorchNameWithOrWithoutModule) {
  EXPECT_EQ(dtype_from_torch_name("bfloat16"), Dtype::kBF16);
  EXPECT_EQ(dtype_from_torch_name("torch.float8_e4m3fn"), Dtype::kF8E4M3);
  EXPECT_EQ(dtype_from_torch_name("float8_e5m2"), Dtype::kF8E5M2);
  EXPECT_EQ(dtype_from_torch_name("torch."), std::nullopt);
  EXPECT_EQ(dtype_from_torch_name(""), std::nullopt);
  EXPECT_EQ(dtype_from_torch_name("half"), std::nullopt);
}

TEST(Dtype, KnowsItsBits) {
  EXPECT_EQ(bits_of(Dtype::kF4), 4);
  EXPECT_EQ(bits_of(Dtype::kF6E3M2), 6);
  EXPECT_EQ(bits_of(Dtype::kBool), 8);
  EXPECT_EQ(bits_of(Dtype::kBF16), 16);
  EXPECT_EQ(bits_of(Dtype::kC64), 64);
}

}  // namespace
}  // namespace quanthost

// Layers in float16 with more tokens than the kernels of few rows take: products are rounded once.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "host/model/attention.hpp"
#include "host/model/layers.hpp"

namespace quanthost::model {
namespace {

constexpr std::int64_t kTokens = 40, kIn = 72, kOut = 24;

at::Tensor random(at::IntArrayRef shape) { return at::randn(shape).to(at::kHalf); }

at::TensorOptions in_memory() { return at::TensorOptions(at::kHalf).device(at::kCPU); }

// Half a unit in the last place of the exact result, and what summing in float32 adds.
void expect_rounded_once(const at::Tensor& found, const at::Tensor& exact) {
  ASSERT_EQ(found.scalar_type(), at::kHalf);
  ASSERT_EQ(found.sizes(), exact.sizes());
  const at::Tensor allowed = exact.abs() * std::ldexp(1.0, -11) + 1e-5;
  EXPECT_TRUE(((found.to(at::kDouble) - exact).abs() <= allowed).all().item<bool>());
}

class Float16 : public testing::Test {
 protected:
  Float16() { at::manual_seed(5); }

 private:
  const c10::InferenceMode inference_;
};

TEST_F(Float16, LinearRoundsItsProductsOnce) {
  for (const bool has_bias : {true, false}) {
    Linear layer(kIn, kOut, has_bias, in_memory());
    at::Tensor weight = layer.weight(), bias = layer.bias();
    weight.copy_(random({kOut, kIn}));
    if (has_bias) bias.copy_(random({kOut}));
    const at::Tensor input = random({2, kTokens, kIn});
    at::Tensor exact = at::matmul(input.to(at::kDouble), weight.to(at::kDouble).t());
    if (has_bias) exact = exact + bias.to(at::kDouble);
    expect_rounded_once(layer(input), exact);
    // Also where the rows do not lie one behind the other.
    const at::Tensor turned = input.transpose(0, 1);
    expect_rounded_once(layer(turned), exact.transpose(0, 1));
  }
}

TEST_F(Float16, Conv1DRoundsItsProductsOnce) {
  Conv1D layer(kIn, kOut, in_memory());
  at::Tensor weight = layer.weight(), bias = layer.bias();
  weight.copy_(random({kIn, kOut}));
  bias.copy_(random({kOut}));
  const at::Tensor input = random({2, kTokens, kIn});
  expect_rounded_once(layer(input), at::matmul(input.to(at::kDouble), weight.to(at::kDouble)) +
                                        bias.to(at::kDouble));
}

TEST_F(Float16, AttentionOfAPromptIsRoundedOnce) {
  AttentionShape shape{};
  shape.heads = 4;
  shape.kv_heads = 2;
  shape.head_dim = 16;
  shape.scale = 0.25;
  BlockInputs inputs;
  inputs.causal = true;
  const at::Tensor query = random({1, 4, kTokens, 16});
  const at::Tensor key = random({1, 2, kTokens, 16}), value = random({1, 2, kTokens, 16});
  const auto wide = [](const at::Tensor& x) { return x.to(at::kDouble); };
  const at::Tensor exact = at::scaled_dot_product_attention(
      wide(query), wide(key).repeat_interleave(2, 1), wide(value).repeat_interleave(2, 1),
      std::nullopt, 0.0, /*is_causal=*/true, shape.scale);
  const at::Tensor found = attend(query, key, value, shape, inputs, 0);
  const at::Tensor expected = exact.transpose(1, 2).reshape({1, kTokens, 64});
  ASSERT_EQ(found.scalar_type(), at::kHalf);
  // LibTorch rounds the shares too where the CPU multiplies float16 itself.
  EXPECT_LT((found.to(at::kDouble) - expected).abs().max().item<double>(), 2e-3);
}

}  // namespace
}  // namespace quanthost::model

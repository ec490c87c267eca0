// A random quantized weight, its packed form, and the dense matrix that the format defines.
#pragma once

#include <gtest/gtest.h>
#include <quanthost/packages/gptq_kernels.h>

#include <algorithm>
#include <quanthost/cpu/formats.hpp>
#include <quanthost/plugin.hpp>
#include <random>
#include <vector>

#include "format.hpp"

namespace quanthost::gptq {

struct Shape {
  int bits;
  std::int64_t inputs, outputs, group_size;
  bool act_order;
};

template <typename T>
constexpr qh_dtype kDtype = qh::kFloat32;
template <>
inline constexpr qh_dtype kDtype<cpu::Float16> = qh::kFloat16;
template <>
inline constexpr qh_dtype kDtype<cpu::BFloat16> = qh::kBfloat16;

template <typename T>
std::vector<T> random_floats(std::int64_t count, unsigned seed, float size = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, size);
  std::vector<T> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(cpu::from_float<T>(normal(random)));
  return values;
}

template <typename T>
struct RandomWeight {
  std::vector<std::uint32_t> qweight, qzeros;
  std::vector<T> scales;
  std::vector<std::int32_t> g_idx;
  std::vector<T> dense;
  qh_gptq_weight abi;

  explicit RandomWeight(const Shape& s) {
    std::mt19937 random(11);
    const std::int64_t groups = groups_of(s.inputs, s.group_size);
    const auto codes_of = [&](std::int64_t count) {
      std::vector<std::uint8_t> codes;
      for (std::int64_t i = 0; i < count; ++i)
        codes.push_back(static_cast<std::uint8_t>(random() & ((1u << s.bits) - 1u)));
      return codes;
    };
    const auto codes = codes_of(s.inputs * s.outputs), zeros = codes_of(groups * s.outputs);
    scales = random_floats<T>(groups * s.outputs, 5, 0.05f);
    g_idx = consecutive_groups(s.inputs, s.group_size);
    if (s.act_order) std::shuffle(g_idx.begin(), g_idx.end(), random);
    qweight = pack_weight(codes, s.inputs, s.outputs, s.bits);
    qzeros = pack_zeros(zeros, groups, s.outputs, s.bits);
    dense = gptq::dequantize<T>(codes, zeros, scales, g_idx, s.outputs);
    abi = {sizeof(abi),   s.bits,        s.inputs,     s.outputs, groups,    qweight.data(),
           qzeros.data(), scales.data(), g_idx.data(), nullptr,   kDtype<T>, 0};
  }
};

template <typename T>
double value_at(const std::vector<T>& values, std::int64_t i) {
  return static_cast<double>(cpu::to_float(values[static_cast<std::size_t>(i)]));
}

// Holds y [batch, outputs] beside x · dense + bias in float64: `bound` of the sum of magnitudes.
template <typename T>
void expect_product(const RandomWeight<T>& w, const std::vector<T>& x, const std::vector<T>& bias,
                    const std::vector<T>& y, std::int64_t batch, double bound) {
  const std::int64_t inputs = w.abi.inputs, outputs = w.abi.outputs;
  for (std::int64_t t = 0; t < batch; ++t)
    for (std::int64_t n = 0; n < outputs; ++n) {
      double sum = value_at(bias, n), size = std::abs(sum);
      for (std::int64_t k = 0; k < inputs; ++k) {
        const double term = value_at(x, t * inputs + k) * value_at(w.dense, k * outputs + n);
        sum += term;
        size += std::abs(term);
      }
      ASSERT_NEAR(value_at(y, t * outputs + n), sum, bound * size) << t << ", " << n;
    }
}

// Holds dx [batch, inputs] beside g · denseᵀ.
template <typename T>
void expect_gradient(const RandomWeight<T>& w, const std::vector<T>& g, const std::vector<T>& dx,
                     std::int64_t batch, double bound) {
  const std::int64_t inputs = w.abi.inputs, outputs = w.abi.outputs;
  for (std::int64_t t = 0; t < batch; ++t)
    for (std::int64_t k = 0; k < inputs; ++k) {
      double sum = 0.0, size = 0.0;
      for (std::int64_t n = 0; n < outputs; ++n) {
        const double term = value_at(g, t * outputs + n) * value_at(w.dense, k * outputs + n);
        sum += term;
        size += std::abs(term);
      }
      ASSERT_NEAR(value_at(dx, t * inputs + k), sum, bound * size) << t << ", " << k;
    }
}

}  // namespace quanthost::gptq

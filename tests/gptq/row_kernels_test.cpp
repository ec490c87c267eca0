// The solver's loops against their definitions, for every instruction set of this machine.
#include "algorithm/row_kernels.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace quanthost::gptq {
namespace {

using Values = std::vector<float>;

Values random_values(std::size_t count, float least, float most, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> draw(least, most);
  Values values(count);
  for (float& value : values) value = draw(random);
  return values;
}

class RowKernelsOf : public ::testing::TestWithParam<cpu::Isa> {
 protected:
  const RowKernels& kernels() const { return row_kernels_for(GetParam()); }
};

std::vector<cpu::Isa> levels() {
  std::vector<cpu::Isa> found;
  for (cpu::Isa isa : {cpu::Isa::scalar, cpu::Isa::avx2, cpu::Isa::avx512})
    if (isa <= cpu::best_isa()) found.push_back(isa);
  return found;
}

TEST_P(RowKernelsOf, SubtractProductsInOrderWhateverTheSizes) {
  constexpr std::size_t kStride = 90;
  for (std::int64_t rows : {1, 3, 4, 9})
    for (std::int64_t width : {1, 7, 16, 32, 33, 75})
      for (std::int64_t depth : {0, 1, 13}) {
        Values found = random_values(9 * kStride, -1, 1, 1);
        const Values factors = random_values(9 * kStride, -1, 1, 2);
        const Values other = random_values(13 * kStride, -1, 1, 3);
        Values expected = found;
        for (std::int64_t r = 0; r < rows; ++r)
          for (std::int64_t j = 0; j < width; ++j)
            for (std::int64_t p = 0; p < depth; ++p) {
              const auto at = [](std::int64_t row, std::int64_t column) {
                return static_cast<std::size_t>(row) * kStride + static_cast<std::size_t>(column);
              };
              const float product = factors[at(r, p)] * other[at(p, j)];
              expected[at(r, j)] -= product;
            }
        kernels().subtract_products({found.data(), kStride, rows, width, factors.data(), kStride,
                                     depth, other.data(), kStride});
        EXPECT_EQ(found, expected) << rows << " rows of " << width << ", depth " << depth;
      }
}

// What sixteen rows become.
struct Swept {
  Values steps, codes, errors, carried;
  std::vector<double> losses = std::vector<double>(kSweepRows);
};

constexpr std::int64_t kSweepColumns = 211;  // a full block, and one that is short
constexpr std::int64_t kGroup = 50;

struct SweepCase {
  bool corrects = false;
  Values upper = random_values(kSweepColumns * kSweepColumns, 0.25f, 1, 4);
  Values scales = random_values((kSweepColumns / kGroup + 1) * kSweepRows, 0.01f, 0.1f, 5);
  Values zeros = Values((kSweepColumns / kGroup + 1) * kSweepRows, 8);
  Values correction =
      random_values(kSweepColumns * kSweepColumns, -0.1f, 0.1f, 7);  // the upper part is read
  std::vector<std::int32_t> group_of;
  explicit SweepCase(bool with_correction) : corrects(with_correction) {
    for (std::int64_t i = 0; i < kSweepColumns; ++i)
      group_of.push_back(static_cast<std::int32_t>(i / kGroup));
  }
  Swept start() const {
    return {random_values(kSweepColumns * kSweepRows, -0.5f, 0.5f, 6),
            Values(kSweepColumns * kSweepRows), Values(kSweepBlock * kSweepRows),
            Values(kSweepBlock * kSweepRows)};
  }
  Sweep over(Swept& swept) const {
    return {kSweepColumns,
            upper.data(),
            corrects ? correction.data() : nullptr,
            15,
            group_of.data(),
            scales.data(),
            zeros.data(),
            swept.steps.data(),
            swept.codes.data(),
            swept.errors.data(),
            swept.carried.data(),
            swept.losses.data()};
  }
};

void sweep_row(const Sweep& s, std::int64_t begin, std::int64_t end, std::int64_t r) {
  double loss = 0;
  const auto step = [&](std::int64_t i) -> float& { return s.steps[i * kSweepRows + r]; };
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t grid = s.group_of[i] * kSweepRows + r;
    const float rounded = std::nearbyint(step(i) / s.scales[grid]) + s.zeros[grid];
    const float code = std::fmin(std::fmax(rounded, 0.0f), s.largest_code);
    const float value = s.scales[grid] * (code - s.zeros[grid]);
    const float error = (step(i) - value) / s.upper[i * kSweepColumns + i];
    s.codes[i * kSweepRows + r] = code;
    s.errors[(i - begin) * kSweepRows + r] = error;
    loss += 0.5 * static_cast<double>(error) * static_cast<double>(error);
    const float taken = error * s.upper[i * kSweepColumns + i];
    s.carried[(i - begin) * kSweepRows + r] = step(i) - taken;
    for (std::int64_t j = i + 1; j < end; ++j) {
      float product = error * s.upper[i * kSweepColumns + j];
      if (s.correction) {
        const float added = step(i) * s.correction[i * kSweepColumns + j];
        product -= added;
      }
      step(j) -= product;
    }
  }
  s.losses[r] += loss;
}

void spread_row(const Sweep& s, std::int64_t begin, std::int64_t end, std::int64_t r) {
  for (std::int64_t j = end; j < kSweepColumns; ++j) {
    float sum = 0, corrections = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t at = (i - begin) * kSweepRows + r;
      const float product = s.errors[at] * s.upper[i * kSweepColumns + j];
      sum += product;
      const float added = s.correction ? s.carried[at] * s.correction[i * kSweepColumns + j] : 0.0f;
      corrections += added;
    }
    if (s.correction) sum -= corrections;
    s.steps[j * kSweepRows + r] -= sum;
  }
}

void expect_plain_sweep(const RowKernels& kernels, const SweepCase& layer) {
  Swept found = layer.start(), expected = layer.start();
  const Sweep mine = layer.over(found), plain = layer.over(expected);
  for (std::int64_t begin = 0; begin < kSweepColumns; begin += kSweepBlock) {
    const std::int64_t end = std::min(kSweepColumns, begin + kSweepBlock);
    kernels.sweep_block(mine, begin, end);
    kernels.spread_errors(mine, begin, end);
    for (std::int64_t r = 0; r < kSweepRows; ++r) {
      sweep_row(plain, begin, end, r);
      spread_row(plain, begin, end, r);
    }
  }
  EXPECT_EQ(found.codes, expected.codes);
  EXPECT_EQ(found.steps, expected.steps);
  EXPECT_EQ(found.errors, expected.errors);
  EXPECT_EQ(found.losses, expected.losses);
  if (layer.corrects) {
    EXPECT_EQ(found.carried, expected.carried);
  }
}

TEST_P(RowKernelsOf, SweepAsOneRowAndColumnAfterTheOther) {
  expect_plain_sweep(kernels(), SweepCase(false));
}

TEST_P(RowKernelsOf, CorrectAsOneRowAndColumnAfterTheOther) {
  expect_plain_sweep(kernels(), SweepCase(true));
}

INSTANTIATE_TEST_SUITE_P(Levels, RowKernelsOf, ::testing::ValuesIn(levels()),
                         [](const auto& info) { return std::string(cpu::name_of(info.param)); });

}  // namespace
}  // namespace quanthost::gptq

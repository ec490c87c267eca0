// Runs every word of kernel.hpp on the emulator: the results of both warp sizes and of any lane
// order agree.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <vector>

#include "quanthost/kernel/emulated_stream.h"

extern "C" int use_vocabulary(void* native, const float* in, float* floats, unsigned* words,
                              double* doubles);

namespace quanthost::testing {
namespace {

struct Output {
  std::vector<float> values;  // of each thread
  float added;
  std::vector<unsigned> words;
  double doubles;
};

Output run(std::uint32_t warp_size, std::uint64_t seed) {
  alignas(16) float in[256];
  std::iota(in, in + 256, 1.0f);
  alignas(16) float floats[4 * 65] = {};
  std::vector<unsigned> words(4 + 64);
  words[1] = 100;
  double doubles = 0;
  qh_emulated_stream stream{sizeof stream, warp_size, seed, 0, 0, nullptr, nullptr};
  EXPECT_GT(use_vocabulary(&stream, in, floats, words.data(), &doubles), 0);
  words.resize(4);  // the others hold lane numbers
  Output output{{}, floats[0], words, doubles};
  for (int thread = 0; thread < 64; ++thread) {
    // The sum of the mma depends on which elements a lane holds; everything else does not.
    EXPECT_EQ(floats[4 * (thread + 1) + 1], floats[4 * (thread + 1)] * 2 + 1);
    output.values.push_back(floats[4 * (thread + 1)]);
  }
  return output;
}

TEST(Vocabulary, GivesTheSameInAnyLaneOrder) {
  for (const std::uint32_t warp_size : {32u, 64u}) {
    const Output first = run(warp_size, 0);
    EXPECT_EQ(first.added, 32.0f);
    EXPECT_EQ(first.doubles, 32.0);
    EXPECT_THAT(first.words, ::testing::ElementsAre(7, 7, 1, 2));
    for (std::uint64_t seed = 1; seed < 4; ++seed) {
      const Output other = run(warp_size, seed);
      EXPECT_EQ(first.values, other.values) << "warp " << warp_size << ", seed " << seed;
      EXPECT_EQ(first.words, other.words);
    }
  }
}

}  // namespace
}  // namespace quanthost::testing

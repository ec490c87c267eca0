#include "host/load/read_buffers.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

namespace quanthost {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

bool mapped(const void* page) { return msync(const_cast<void*>(page), 4096, MS_ASYNC) == 0; }

bool resident(void* page) {
  unsigned char in_memory = 0;
  return mincore(page, 4096, &in_memory) == 0 && (in_memory & 1) != 0;
}

TEST(ReadBuffers, FillTheMemoryOfATensorThatIsGoneAgain) {
  ReadBuffers buffers(8 * kMiB);
  at::Tensor first = tensor_in(buffers.take(2 * kMiB), {2, kMiB}, at::kByte);
  void* const memory = first.mutable_data_ptr();
  at::Tensor view = first[1];
  first.reset();
  const auto other = buffers.take(2 * kMiB);
  EXPECT_NE(other.get(), memory) << "a view still uses it";
  view.reset();
  const at::Tensor again = tensor_in(buffers.take(kMiB), {kMiB / 2}, at::kBFloat16);
  EXPECT_EQ(again.mutable_data_ptr(), memory);
  EXPECT_EQ(again.sizes(), at::IntArrayRef({kMiB / 2}));
  EXPECT_EQ(again.scalar_type(), at::kBFloat16);
}

TEST(ReadBuffers, GiveWhatNobodyUsesWhateverItsPartsWereBefore) {
  ReadBuffers buffers(8 * kMiB);
  auto a = buffers.take(3 * kMiB), b = buffers.take(2 * kMiB), c = buffers.take(3 * kMiB - 1);
  ASSERT_TRUE(a && b && c);
  EXPECT_EQ(buffers.take(1), nullptr) << "all is in use";
  void* const begin = a.get();
  a.reset();
  c.reset();
  EXPECT_EQ(buffers.take(4 * kMiB), nullptr) << "no part is as large";
  b.reset();
  const auto all = buffers.take(8 * kMiB);
  EXPECT_EQ(all.get(), begin);
  EXPECT_EQ(buffers.take(8 * kMiB + 1), nullptr);
  EXPECT_EQ(buffers.bytes(), 8 * kMiB);
}

TEST(ReadBuffers, LeaveWhatIsInUseItsMemoryAndGiveTheRestBack) {
  std::shared_ptr<void> kept;
  void* gone = nullptr;
  {
    ReadBuffers buffers(8 * kMiB);
    auto passing = buffers.take(2 * kMiB);
    kept = buffers.take(2 * kMiB);
    gone = passing.get();
    std::memset(gone, 1, 2 * kMiB);
    std::memset(kept.get(), 1, 2 * kMiB);
  }
  EXPECT_FALSE(resident(gone));
  EXPECT_TRUE(resident(kept.get()));
  const void* const memory = kept.get();
  kept.reset();
  EXPECT_FALSE(mapped(memory));
}

TEST(ReadBuffers, OfNoBytesHaveNothingToGive) {
  ReadBuffers buffers(0);
  EXPECT_EQ(buffers.take(1), nullptr);
}

}  // namespace
}  // namespace quanthost

#include "host/load/read_buffers.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "host/load/host_memory.hpp"

namespace quanthost {
namespace {

constexpr std::int64_t kLarge = static_cast<std::int64_t>(kLargeTensorBytes);
constexpr std::uint64_t kPlenty = std::uint64_t{64} << 20;

bool mapped(void* page) { return msync(page, 4096, MS_ASYNC) == 0; }

TEST(ReadBuffers, FillsTheMemoryOfATensorThatIsGoneAgain) {
  ReadBuffers buffers;
  at::Tensor first = buffers.take({2, kLarge}, at::kByte, kPlenty);
  void* const memory = first.mutable_data_ptr();
  at::Tensor view = first[1];
  first.reset();
  at::Tensor other = buffers.take({2, kLarge}, at::kByte, kPlenty);
  EXPECT_NE(other.mutable_data_ptr(), memory) << "a view still uses it";
  view.reset();
  const at::Tensor again = buffers.take({kLarge / 2, 2}, at::kBFloat16, kPlenty);
  EXPECT_EQ(again.mutable_data_ptr(), memory);
  EXPECT_EQ(again.sizes(), at::IntArrayRef({kLarge / 2, 2}));
  EXPECT_EQ(again.scalar_type(), at::kBFloat16);
}

TEST(ReadBuffers, FreesWhatWaitsBeforeThereIsMoreThanAllowed) {
  ReadBuffers buffers;
  void* const old = buffers.take({2 * kLarge}, at::kByte, kPlenty).mutable_data_ptr();
  void* const newer = buffers.take({3 * kLarge}, at::kByte, kPlenty).mutable_data_ptr();
  EXPECT_TRUE(mapped(old)) << "waits";
  at::Tensor used = buffers.take({4 * kLarge}, at::kByte, 7 * kLargeTensorBytes);
  EXPECT_FALSE(mapped(old)) << "waited longest";
  EXPECT_TRUE(mapped(newer)) << "fits beside what is used";
  at::Tensor more = buffers.take({kLarge}, at::kByte, 7 * kLargeTensorBytes);
  EXPECT_FALSE(mapped(newer));
}

TEST(ReadBuffers, LeaveTensorsInUseTheirMemory) {
  at::Tensor tensor;
  void* memory = nullptr;
  {
    ReadBuffers buffers;
    tensor = buffers.take({kLarge}, at::kByte, kPlenty);
    memory = tensor.mutable_data_ptr();
  }
  EXPECT_TRUE(mapped(memory));
  tensor.reset();
  EXPECT_FALSE(mapped(memory));
}

}  // namespace
}  // namespace quanthost

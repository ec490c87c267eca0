// Runs a fuzz target's body over its saved seeds: what once went wrong, and what reaches far.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern const char kFuzzCorpus[];  // the folder of seeds, from a generated file
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace quanthost {
namespace {

TEST(FuzzSeeds, EndInAResultOrAnError) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFuzzCorpus)) {
    SCOPED_TRACE(entry.path().filename().string());
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    EXPECT_NO_THROW(
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
    ++count;
  }
  EXPECT_GT(count, 0) << "no seeds in " << kFuzzCorpus;
}

}  // namespace
}  // namespace quanthost

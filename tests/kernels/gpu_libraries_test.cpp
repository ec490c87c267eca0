// The CUDA and HIP libraries on a machine that cannot run them: listed with the cause, opened
// without harm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>

#include "tests/kernels/proof_library.hpp"

namespace quanthost::testing {
namespace {

using ::testing::HasSubstr;

struct Kind {
  const char* name;
  const char* driver;  // a file or library without which the kind cannot work
  const char* device;  // there when the kernel's driver is loaded
};

class GpuLibrary : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(ProofLibrary::file_of(GetParam().name))) {
      GTEST_SKIP() << "not part of this build: its compiler is missing";
    }
  }
  static bool driver_is_there() { return std::filesystem::exists(GetParam().device); }
};

TEST_P(GpuLibrary, IsListedAsUnavailableWithTheFirstCauseWhereThereIsNoDriver) {
  if (driver_is_there()) GTEST_SKIP() << GetParam().device << " is there";
  PluginHost host(ProofLibrary::options());
  const PluginRecord& record = host.find_plugin(ProofLibrary::file_of(GetParam().name));
  EXPECT_EQ(record.state, PluginState::kUnavailable);
  EXPECT_THAT(record.reason, HasSubstr(GetParam().driver));
}

TEST_P(GpuLibrary, TellsTheFirstCauseItselfWhenItIsOpenedAllTheSame) {
  if (driver_is_there()) GTEST_SKIP() << GetParam().device << " is there";
  EXPECT_THAT(ProofLibrary(GetParam().name).why_unavailable(), HasSubstr(GetParam().driver));
}

// What a shell command prints.
std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  std::array<char, 4096> buffer;
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) {
    text.append(buffer.data(), count);
  }
  return text;
}

TEST_P(GpuLibrary, ExportsThePluginEntryAlone) {
  const std::string symbols = output_of("nm -D --defined-only --format=just-symbols '" +
                                        ProofLibrary::file_of(GetParam().name).string() + "'");
  EXPECT_EQ(symbols, "qh_plugin_entry_v1\n");
}

INSTANTIATE_TEST_SUITE_P(Kinds, GpuLibrary,
                         ::testing::Values(Kind{"cuda", "libcuda.so.1", "/dev/nvidiactl"},
                                           Kind{"hip", "/dev/kfd", "/dev/kfd"}),
                         [](const auto& info) { return info.param.name; });

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

template <class T>
T value_at(const std::string& bytes, std::size_t at) {
  T value{};
  if (at + sizeof(T) <= bytes.size()) std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

// "ptx 80", "sass 90" … of the code that nvcc has put into a library. It lies in containers that
// begin with a mark; each of their entries says its kind, the size of its head, its size, and at
// byte 28 its architecture.
std::set<std::string> cuda_code(const std::string& library) {
  std::set<std::string> code;
  const std::string mark("\x50\xed\x55\xba", 4);
  for (std::size_t at = library.find(mark); at != std::string::npos;
       at = library.find(mark, at + 16)) {
    std::size_t entry = at + value_at<std::uint16_t>(library, at + 6);
    const std::size_t end =
        std::min<std::size_t>(entry + value_at<std::uint64_t>(library, at + 8), library.size());
    while (entry < end) {
      const bool is_ptx = value_at<std::uint16_t>(library, entry) == 1;
      code.insert((is_ptx ? "ptx " : "sass ") +
                  std::to_string(value_at<std::uint32_t>(library, entry + 28)));
      entry +=
          value_at<std::uint32_t>(library, entry + 4) + value_at<std::uint64_t>(library, entry + 8);
    }
  }
  return code;
}

TEST(GpuCode, OfTheCudaLibraryIsForAmpereAndHopperWithPtxForWhatComesLater) {
  const std::filesystem::path file = ProofLibrary::file_of("cuda");
  if (!std::filesystem::exists(file))
    GTEST_SKIP() << "not part of this build: its compiler is missing";
  EXPECT_THAT(cuda_code(bytes_of(file)),
              ::testing::IsSupersetOf({"ptx 80", "ptx 90", "sass 80", "sass 90"}));
}

TEST(GpuCode, OfTheHipLibraryIsForGfx90aAndGfx1030) {
  const std::filesystem::path file = ProofLibrary::file_of("hip");
  if (!std::filesystem::exists(file))
    GTEST_SKIP() << "not part of this build: its compiler is missing";
  const std::string library = bytes_of(file);
  EXPECT_THAT(library, HasSubstr("hipv4-amdgcn-amd-amdhsa--gfx90a"));
  EXPECT_THAT(library, HasSubstr("hipv4-amdgcn-amd-amdhsa--gfx1030"));
}

}  // namespace
}  // namespace quanthost::testing

// Each mistake of examples/kernels/wrong_twins.cuh is caught, with thread, block and line, at both
// warp sizes and whatever the order of the lanes.
#include "examples/kernels/wrong_twins.cuh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "quanthost/kernel/emulated_stream.h"
#include "tests/folders.hpp"

namespace quanthost::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

// "wrong_twins.cuh:<line>" of each line that ends in the comment `// <name>`.
std::vector<std::string> marked_lines(const std::string& name) {
  std::ifstream file(test::source_folder() + "/examples/kernels/wrong_twins.cuh");
  const std::string marker = "// " + name;
  std::vector<std::string> places;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    const std::size_t at = line.rfind(marker);
    if (at != std::string::npos && at + marker.size() == line.size()) {
      places.push_back("wrong_twins.cuh:" + std::to_string(number));
    }
  }
  return places;
}

::testing::Matcher<std::string> any_substring(const std::vector<std::string>& parts) {
  std::vector<::testing::Matcher<std::string>> matchers;
  for (const std::string& part : parts) matchers.push_back(HasSubstr(part));
  return ::testing::AnyOfArray(matchers);
}

struct Twin {
  std::string name;
  // How the message goes on after thread, block and place: one of these, where the order of the
  // lanes decides.
  std::vector<std::string> kinds;
  std::function<void(gpu::Stream, float* in, float* out)> launch;
};

constexpr gpu::LaunchShape kShape{1, wrong::kThreads};

template <class Kernel>
std::function<void(gpu::Stream, float*, float*)> with_out(Kernel* kernel,
                                                          gpu::LaunchShape shape = kShape) {
  return [=](gpu::Stream stream, float*, float* out) { gpu::launch(stream, shape, kernel, out); };
}
template <class Kernel>
std::function<void(gpu::Stream, float*, float*)> with_in_and_out(Kernel* kernel) {
  return [=](gpu::Stream stream, float* in, float* out) {
    gpu::launch(stream, kShape, kernel, in, out);
  };
}

#define TWIN(name, kind, how) \
  Twin { #name, {": " kind }, how(wrong::name) }

const std::vector<Twin>& twins() {
  static const std::vector<Twin> all = {
      TWIN(writes_past_the_end, "out of bounds: ", with_out),
      TWIN(reads_before_the_start, "out of bounds: ", with_out),
      TWIN(takes_more_dynamic_memory_than_launched, "out of bounds: ", with_out),
      TWIN(loads_a_vector_between_its_steps, "misaligned: ", with_out),
      TWIN(loads_a_misaligned_global_vector, "misaligned: ", with_out),
      TWIN(reads_what_another_thread_writes, "race: ", with_out),
      TWIN(takes_a_shuffle_for_a_barrier, "race: ", with_out),
      TWIN(overwrites_what_others_still_read, "race: ", with_out),
      TWIN(writes_one_element_from_all_threads, "race: ", with_out),
      TWIN(reads_a_counter_without_a_barrier, "race: ", with_out),
      TWIN(counts_in_bins_nobody_cleared, "uninitialized: ", with_out),
      TWIN(waits_at_a_barrier_in_one_branch, "divergent ", with_out),
      TWIN(waits_at_two_barriers_at_once, "divergent ", with_out),
      TWIN(shuffles_after_half_the_lanes_left, "divergent ", with_out),
      TWIN(shuffles_in_both_branches, "divergent ", with_out),
      TWIN(shuffles_with_lanes_that_wait_elsewhere, "deadlock: ", with_out),
      TWIN(multiplies_with_one_lane_missing, "divergent ", with_out),
      Twin{"shuffles_in_a_block_of_broken_warps",
           {": divergent collective: "},
           with_out(wrong::shuffles_in_a_block_of_broken_warps, {1, 40})},
      TWIN(reads_an_async_copy_before_it_landed, "missing wait: ", with_in_and_out),
      TWIN(waits_for_the_wrong_group, "missing wait: ", with_in_and_out),
      TWIN(ends_with_a_copy_under_way, "missing wait: ", with_in_and_out),
      Twin{"reads_anothers_copy_without_a_barrier",
           {": race: ", ": missing wait: "},
           with_in_and_out(wrong::reads_anothers_copy_without_a_barrier)},
      Twin{"spins_on_a_flag_nobody_sets",
           {": deadlock: "},
           [](gpu::Stream stream, float*, float* out) {
             gpu::launch(stream, {1, 32}, wrong::spins_on_a_flag_nobody_sets,
                         reinterpret_cast<unsigned*>(out));
           }},
  };
  return all;
}

void PrintTo(const Twin& twin, std::ostream* out) { *out << twin.name; }

class WrongTwin : public ::testing::TestWithParam<Twin> {};

TEST_P(WrongTwin, IsCaughtWithThreadBlockAndLine) {
  const Twin& twin = GetParam();
  const std::vector<std::string> places = marked_lines(twin.name);
  ASSERT_FALSE(places.empty());
  std::vector<float> in(2 * wrong::kThreads + 1, 1.0f);
  std::vector<float> out(2 * wrong::kThreads + 1, 0.0f);
  for (const std::uint32_t warp_size : {32u, 64u}) {
    for (const std::uint64_t seed : {0u, 1u, 77u}) {
      SCOPED_TRACE("warp " + std::to_string(warp_size) + ", seed " + std::to_string(seed));
      qh_emulated_stream stream{sizeof stream, warp_size, seed, 0, 0, nullptr, nullptr};
      try {
        twin.launch({&stream}, in.data(), out.data());
        ADD_FAILURE() << "nothing was reported";
      } catch (const gpu::Error& error) {
        const std::string message = error.what();
        EXPECT_THAT(message, any_substring(twin.kinds));
        EXPECT_THAT(message, HasSubstr("block (0,0,0)"));
        EXPECT_THAT(message, AnyOf(HasSubstr("thread ("), HasSubstr("threads (the first is (")));
        EXPECT_THAT(message, any_substring(places));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Emulator, WrongTwin, ::testing::ValuesIn(twins()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace quanthost::testing

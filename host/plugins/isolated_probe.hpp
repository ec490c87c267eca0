// Opens plugins in processes of their own, so that one that crashes, hangs, exits or floods its
// output harms nobody.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "host/plugins/search_path.hpp"

namespace quanthost {

struct ProbeResult {
  bool ok = false;
  std::string reason;  // one sentence; empty when ok
  std::vector<std::string>
      warnings;             // it works, but: prints, leaves threads, processes or files behind
  std::string output_tail;  // the end of what it wrote to stderr
  double seconds = 0;
};

// The helper program: beside this library, or in libexec. nullopt when it is not installed.
std::optional<std::filesystem::path> find_probe_helper(const SearchContext& context);

// Probes all files at the same time, so that many that hang take as long as one. Results in the
// order of `files`. Throws kOs only when no process can be started at all.
std::vector<ProbeResult> probe_in_isolation(const std::filesystem::path& helper,
                                            const std::vector<std::filesystem::path>& files,
                                            std::chrono::milliseconds limit);

}  // namespace quanthost
